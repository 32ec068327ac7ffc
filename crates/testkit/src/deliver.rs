//! A double of the engine that an output under test delivers for.
//!
//! [`Delivery`] encodes a batch's messages, offers them to the output, collects its verdicts, and
//! offers again what the output asked to retry, as the engine would.

use std::ops::Range;
use std::time::{Duration, Instant};

use message::{Batch, BatchBuilder, MessageRef, Selection};
use plugin::{BuildCx, Clock, Encoded, Encoder, Fatal, Meter, OutBatch, OutCx, Output, Part, Reject, Stop, Verdict, Verdicts};

use crate::plugins::build_cx;

/// Encodes a message as its payload and a newline; a payload that is just `reject` is refused.
pub struct PayloadLines;

impl Encoder for PayloadLines {
    fn encode(&mut self, m: MessageRef<'_>, into: &mut Vec<u8>) -> Result<(), Reject> {
        if m.payload() == b"reject" {
            return Err(Reject::new("the payload asks for it"));
        }
        into.extend_from_slice(m.payload());
        into.push(b'\n');
        Ok(())
    }
}

/// A batch with one message for each payload.
pub fn payloads<P: AsRef<[u8]>>(payloads: impl IntoIterator<Item = P>) -> Batch {
    let mut builder = BatchBuilder::default();
    for payload in payloads {
        builder.add().set_payload(payload.as_ref());
    }
    builder.finish()
}

/// The engine's side of one output.
pub struct Delivery {
    output: Box<dyn Output>,
    encoder: Box<dyn Encoder>,
    build: BuildCx,
    pub clock: Clock,
    /// Asks the output to stop.
    pub stop: Stop,
    pub meter: Meter,
    /// Verdicts told on messages that were taken before, by their numbers.
    pub late: Vec<(Range<u64>, Verdict)>,
    /// Why the output cannot go on.
    pub fatal: Option<Fatal>,
}

impl Delivery {
    /// Delivers through [`PayloadLines`], by the machine's clock.
    pub fn new(output: Box<dyn Output>) -> Delivery {
        let clock = Clock::real();
        let build = BuildCx { clock: clock.clone(), ..build_cx() };
        Delivery {
            output,
            encoder: Box::new(PayloadLines),
            build,
            clock,
            stop: Stop::new(),
            meter: Meter::default(),
            late: Vec::new(),
            fatal: None,
        }
    }

    pub fn encoder(mut self, encoder: Box<dyn Encoder>) -> Delivery {
        self.encoder = encoder;
        self
    }

    /// Runs the output under this clock.
    pub fn clock(mut self, clock: Clock) -> Delivery {
        self.build.clock = clock.clone();
        self.clock = clock;
        self
    }

    /// Offers every message once. A verdict for each; one the output said nothing about is a retry.
    pub fn write(&mut self, batch: &Batch) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Done; batch.len()];
        self.offer(batch, &(0..batch.len()).collect::<Vec<_>>(), &mut verdicts);
        verdicts
    }

    /// Offers what the output asks to retry until nothing is left of it, or until `patience` is
    /// over: then the retries among the verdicts say why.
    pub fn deliver(&mut self, batch: &Batch, patience: Duration) -> Vec<Verdict> {
        let deadline = Instant::now() + patience;
        let mut verdicts = vec![Verdict::Done; batch.len()];
        let mut open: Vec<usize> = (0..batch.len()).collect();
        while !open.is_empty() {
            self.offer(batch, &open, &mut verdicts);
            open.retain(|&i| matches!(verdicts[i], Verdict::Retry { .. }));
            if Instant::now() >= deadline || self.stop.wait(Duration::from_millis(1)) {
                break;
            }
        }
        verdicts
    }

    pub fn every(&self) -> Option<Duration> {
        self.output.every()
    }

    pub fn poll(&mut self) {
        self.with_cx(0, |output, cx| output.poll(cx));
    }

    pub fn close(&mut self) {
        self.with_cx(0, |output, cx| output.close(cx));
    }

    /// Writes the messages at `indices` and sets their verdicts.
    fn offer(&mut self, batch: &Batch, indices: &[usize], verdicts: &mut [Verdict]) {
        let (mut encoded, mut offered) = (Encoded::default(), Vec::new());
        for &index in indices {
            match self.encoder.encode(batch.get(index), &mut encoded.bytes) {
                Ok(()) => {
                    encoded.ends.push(encoded.bytes.len());
                    offered.push(index as u32);
                }
                Err(reject) => {
                    encoded.truncate(encoded.len());
                    verdicts[index] = Verdict::Reject(reject.to_string());
                }
            }
        }
        if !self.output.wants_bytes() {
            encoded.truncate(0);
        }
        let selection = Selection::Some(offered.into());
        let parts = [Part { batch, selection: &selection, first: 0 }];
        let told = self.with_cx(selection.len(), |output, cx| output.write(&OutBatch::new(selection.len(), &parts, &encoded), cx));
        for (range, verdict) in told.in_order() {
            let verdict = verdict.unwrap_or_else(|| Verdict::Retry { after: None, why: "the output gave no verdict".to_string() });
            for i in range.clone() {
                verdicts[selection.index(i)] = match &verdict {
                    Verdict::Later(first) => Verdict::Later(first + (i - range.start) as u64),
                    other => other.clone(),
                };
            }
        }
    }

    fn with_cx(&mut self, messages: usize, call: impl FnOnce(&mut dyn Output, &mut OutCx<'_>)) -> Verdicts {
        let mut verdicts = Verdicts::of(messages);
        call(&mut *self.output, &mut OutCx::new(&self.build, &self.clock, &self.stop, &self.meter, &mut verdicts));
        self.late.append(&mut verdicts.late);
        self.fatal = verdicts.fatal.take().or(self.fatal.take());
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one message a call and forgets to say so about the others.
    struct OneByOne(Vec<Vec<u8>>);

    impl Output for OneByOne {
        fn write(&mut self, batch: &OutBatch<'_>, cx: &mut OutCx<'_>) {
            if let Some(first) = batch.iter().next() {
                self.0.push(first.bytes.to_vec());
                cx.done(0..1);
            }
        }
    }

    #[test]
    fn a_message_without_a_verdict_is_offered_again_and_an_encoder_may_refuse() {
        let batch = payloads(["a", "reject", "b"]);
        let mut delivery = Delivery::new(Box::new(OneByOne(Vec::new())));
        let once = delivery.write(&batch);
        assert!(matches!((&once[0], &once[1], &once[2]), (Verdict::Done, Verdict::Reject(_), Verdict::Retry { .. })));

        let all = delivery.deliver(&batch, Duration::from_secs(10));
        assert!(matches!((&all[0], &all[1], &all[2]), (Verdict::Done, Verdict::Reject(_), Verdict::Done)));
    }
}
