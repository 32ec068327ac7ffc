//! `xxhash`: fast hashes that are the same everywhere.

use sandbox::native::{Body, Call, Error, Function, Module, Returned};
use twox_hash::{XxHash3_64, XxHash32, XxHash64};

pub static MODULE: Module = Module {
    name: "xxhash",
    doc: "Fast hashes of strings, for sampling, sharding and keys; not against attackers.",
    body: Body::Native(FUNCTIONS, &[]),
};

const FUNCTIONS: &[Function] = &[
    Function {
        name: "h3",
        signature: "(item: string|number, seed?: integer) -> integer",
        doc: "XXH3, 64 bits as a signed integer.",
        call: h3,
    },
    Function {
        name: "h32",
        signature: "(item: string|number, seed?: integer) -> integer",
        doc: "XXH32: 0 to 2^32 - 1, and so the seed.",
        call: h32,
    },
    Function {
        name: "h64",
        signature: "(item: string|number, seed?: integer) -> integer",
        doc: "XXH64, 64 bits as a signed integer.",
        call: h64,
    },
];

fn h32(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(1)?;
    let seed = call.optional(2, Call::integer)?.unwrap_or(0);
    let seed = u32::try_from(seed).map_err(|_| Error::argument(2, "seed must be 0 to 2^32 - 1"))?;
    call.push_integer(i64::from(XxHash32::oneshot(seed, &item)))?;
    Ok(Returned(1))
}

fn h64(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(1)?;
    let seed = call.optional(2, Call::integer)?.unwrap_or(0);
    call.push_integer(XxHash64::oneshot(seed as u64, &item) as i64)?;
    Ok(Returned(1))
}

fn h3(call: &mut Call<'_>) -> Result<Returned, Error> {
    let item = call.bytes(1)?;
    let seed = call.optional(2, Call::integer)?.unwrap_or(0);
    call.push_integer(XxHash3_64::oneshot_with_seed(seed as u64, &item) as i64)?;
    Ok(Returned(1))
}
