use std::io::{self, Write};

/// The first bytes a sender reads of a receiver that acknowledges.
const GREETING: [u8; 8] = *b"NILOACK1";

/// What one sender is told: the greeting, then, whenever it has grown, how many bytes of its
/// connection were accepted (8 bytes, big endian). The last count says it all, so a sender that does
/// not read costs no more than one that is half written.
pub struct Answer {
    /// Being written, from `at` on.
    frame: [u8; 8],
    at: usize,
    /// The count in the frame, or zero.
    told: u64,
    accepted: u64,
}

impl Answer {
    pub fn new() -> Answer {
        Answer { frame: GREETING, at: 0, told: 0, accepted: 0 }
    }

    /// So many bytes were accepted by now. True when these are more than before.
    pub fn accept(&mut self, accepted: u64) -> bool {
        let more = accepted > self.accepted;
        self.accepted = self.accepted.max(accepted);
        more
    }

    /// How much was accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Whether there is something the sender has not been told.
    pub fn waits(&self) -> bool {
        self.at < self.frame.len() || self.told < self.accepted
    }

    /// Writes what `to` takes without blocking.
    ///
    /// # Errors
    /// Those of `to`, but for not being ready.
    pub fn write(&mut self, mut to: impl Write) -> io::Result<()> {
        while self.waits() {
            if self.at == self.frame.len() {
                (self.frame, self.at, self.told) = (self.accepted.to_be_bytes(), 0, self.accepted);
            }
            match to.write(&self.frame[self.at..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.at += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes more.
    #[derive(Default)]
    struct Slow {
        room: usize,
        bytes: Vec<u8>,
    }

    impl Write for &mut Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.room);
            self.room -= n;
            self.bytes.extend_from_slice(&bytes[..n]);
            if n > 0 { Ok(n) } else { Err(io::ErrorKind::WouldBlock.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_reader_gets_whole_counts_and_the_last_one() {
        let (mut answer, mut slow) = (Answer::new(), Slow::default());
        for accepted in 1..=100 {
            assert!(answer.accept(accepted) && !answer.accept(accepted - 1));
            slow.room = 1;
            answer.write(&mut slow).unwrap();
        }
        assert!(answer.waits());
        slow.room = 100;
        answer.write(&mut slow).unwrap();
        assert!(!answer.waits());
        let (greeting, counts) = slow.bytes.split_at(8);
        let counts: Vec<u64> = counts.chunks(8).map(|c| u64::from_be_bytes(c.try_into().unwrap())).collect();
        assert_eq!((greeting, counts.last()), (&GREETING[..], Some(&100)));
        assert!(counts.len() < 100 / 8 + 2 && counts.is_sorted(), "{counts:?}");
    }
}
