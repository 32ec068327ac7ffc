use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

/// A keyed hash. Whoever can send a metric chooses the keys, so it must not be possible to choose
/// them such that they collide. Foldhash multiplies text that is masked with a secret, so that what
/// collides depends on the secret; it takes it from addresses and the time, here it comes from the
/// system's random source. Its weakness is an adversary who sees hashes or the order of a table:
/// neither ever leaves the aggregation, and a datagram has no answer whose delay would tell.
#[derive(Clone, Debug)]
pub struct Keyed(SeedableRandomState);

impl Default for Keyed {
    fn default() -> Self {
        // The standard library's state is keyed by the system's random source.
        let random = || RandomState::new().hash_one(0u8);
        static SHARED: LazyLock<SharedSeed> = LazyLock::new(|| SharedSeed::from_u64(RandomState::new().hash_one(1u8)));
        Keyed(SeedableRandomState::with_seed(random(), &SHARED))
    }
}

impl Keyed {
    /// Of a name and tags, as they stand.
    #[inline]
    pub fn of(&self, name: &[u8], tags: &[u8]) -> u32 {
        let mut hasher = self.0.build_hasher();
        hasher.write(name);
        if !tags.is_empty() {
            hasher.write(tags);
        }
        (hasher.finish() >> 32) as u32
    }
}

impl BuildHasher for Keyed {
    type Hasher = <SeedableRandomState as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}
