use std::borrow::Cow;
use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};

/// A message as it was before it was compressed with gzip or zlib, if it was; `None` when it is damaged or
/// becomes more than `max` bytes.
pub fn inflate(message: &[u8], max: usize) -> Option<Cow<'_, [u8]>> {
    let limit = max as u64 + 1;
    let mut plain = Vec::new();
    match message {
        [0x1f, 0x8b, ..] => MultiGzDecoder::new(message).take(limit).read_to_end(&mut plain).ok()?,
        // A zlib header: the method deflate, and a check of 31.
        [first, second, ..] if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0 => {
            ZlibDecoder::new(message).take(limit).read_to_end(&mut plain).ok()?
        }
        _ => return (message.len() <= max).then_some(Cow::Borrowed(message)),
    };
    (plain.len() <= max).then_some(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_compressed_is_what_it_was(text in "\\{[a-z]{0,500}\\}", bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            let (mut gzip, mut zlib) = (GzEncoder::new(Vec::new(), Compression::fast()), ZlibEncoder::new(Vec::new(), Compression::best()));
            gzip.write_all(text.as_bytes()).unwrap();
            zlib.write_all(text.as_bytes()).unwrap();
            for packed in [gzip.finish().unwrap(), zlib.finish().unwrap(), text.clone().into_bytes()] {
                let plain = inflate(&packed, text.len());
                prop_assert_eq!(plain.as_deref(), Some(text.as_bytes()));
                prop_assert!(inflate(&packed, text.len() - 1).is_none());
            }
            prop_assert!(inflate(&bytes, 20).is_none_or(|plain| plain.len() <= 20));
        }
    }
}
