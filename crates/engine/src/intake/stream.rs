use std::time::Duration;

use message::StreamId;
use plugin::{Decoder, Splitter};

use crate::codec::Codec;

/// A stream that is open.
pub(super) struct Stream {
    pub splitter: Box<dyn Splitter>,
    pub decoder: Codec<dyn Decoder>,
    /// Under which the decoder's state is kept; empty: it is not.
    pub key: String,
    /// Bytes read that belong to no complete record yet.
    pub carry: Vec<u8>,
    /// Stream position of the first byte of `carry`.
    pub position: u64,
    /// When `carry` last grew.
    pub touched: Duration,
    /// In the middle of a record that is too long.
    pub skipping: bool,
    /// Bytes to ask for: more while reads are full, less when they are not.
    pub ask: usize,
    pub logger: String,
    pub hostname: String,
    /// Fields of each message.
    pub fields: Vec<(String, String)>,
    /// Positions ahead where what some consumer has already ends, in order.
    pub cuts: Vec<u64>,
}

impl Stream {
    /// What was read before belongs to other content than what comes now.
    pub fn seek(&mut self, position: u64) {
        // The splitter forgets what it has seen of these bytes.
        let _ = self.splitter.split(&self.carry, true);
        self.carry.clear();
        self.position = position;
        self.skipping = false;
        self.cuts.clear();
    }

    /// Bytes up to the next cut.
    pub fn before_cut(&self) -> Option<usize> {
        let read = self.position + self.carry.len() as u64;
        self.cuts.first().map(|cut| cut.saturating_sub(read) as usize)
    }

    /// A cut it has come to is behind it then.
    pub fn pass_cut(&mut self) {
        if self.before_cut() == Some(0) {
            self.cuts.remove(0);
        }
    }

    /// When the splitter takes what there is for a record; `None`: it waits for more.
    fn due(&self) -> Option<Duration> {
        if self.carry.is_empty() { None } else { Some(self.touched + self.splitter.patience()?) }
    }
}

/// The open streams by number; the number of one that was closed is given again.
#[derive(Default)]
pub(super) struct Streams(Vec<Option<Stream>>);

impl Streams {
    /// A number that no stream has.
    pub fn free(&mut self) -> StreamId {
        let id = self.0.iter().position(Option::is_none).unwrap_or_else(|| {
            self.0.push(None);
            self.0.len() - 1
        });
        id as StreamId
    }

    pub fn put(&mut self, id: StreamId, stream: Stream) {
        self.0[id as usize] = Some(stream);
    }

    pub fn take(&mut self, id: StreamId) -> Option<Stream> {
        self.0.get_mut(id as usize)?.take()
    }

    pub fn get(&self, id: StreamId) -> Option<&Stream> {
        self.0.get(id as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.0.get_mut(id as usize)?.as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.0.iter().flatten()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.0.iter_mut().flatten()
    }

    /// Those whose splitter will wait no longer.
    pub fn overdue(&self, now: Duration) -> Vec<StreamId> {
        let due = |id: &StreamId| self.get(*id).and_then(Stream::due).is_some_and(|due| now >= due);
        (0..self.0.len() as StreamId).filter(due).collect()
    }

    /// When the first splitter will wait no longer.
    pub fn next_due(&self) -> Option<Duration> {
        self.iter().filter_map(Stream::due).min()
    }
}
