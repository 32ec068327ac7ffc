//! `update_checkpoint`: an output's word of what has been delivered.

use crate::Confirmed;
use crate::native::{Call, Error, Returned};

/// `update_checkpoint([sequence [, failures]])`: everything up to and with this message, which `process_message` was given the
/// number of, is delivered but for so many that failed; without a number, everything the output has been given.
pub(super) fn update_checkpoint(call: &mut Call<'_>) -> Result<Returned, Error> {
    let number = |n, why: &'static str| match call.optional(n, Call::integer)? {
        Some(number) => u64::try_from(number).map(Some).map_err(|_| Error::argument(n, why)),
        None => Ok(None),
    };
    let host = call.lua().host();
    let sequence = number(1, "sequence must be >= 0")?.or(host.delivering.get());
    let failures = number(2, "failures must be >= 0")?.unwrap_or(0);
    let before = host.confirmed.get().unwrap_or_default();
    let sequence = sequence.max(before.sequence);
    host.confirmed.set(Some(Confirmed { sequence, failures: before.failures.saturating_add(failures) }));
    Ok(Returned(0))
}
