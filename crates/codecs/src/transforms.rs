mod bounds;
pub mod dedupe;
pub mod drop;
pub mod flatten;
pub mod geoip;
pub mod keep;
pub mod limit_cardinality;
pub mod lookup;
mod moment;
pub mod parse;
mod recent;
pub mod redact;
pub mod rename;
pub mod sample;
pub mod set;
pub mod throttle;
pub mod timestamp;
pub mod user_agent;

use plugin::Kind;

pub const KINDS: &[&Kind] = &[
    &dedupe::KIND,
    &drop::KIND,
    &flatten::KIND,
    &geoip::KIND,
    &keep::KIND,
    &limit_cardinality::KIND,
    &lookup::KIND,
    &parse::KIND,
    &redact::KIND,
    &rename::KIND,
    &sample::KIND,
    &set::KIND,
    &throttle::KIND,
    &timestamp::KIND,
    &user_agent::KIND,
];

#[cfg(test)]
mod tests {
    use message::{Batch, BatchBuilder};
    use plugin::{Kind, Transformed};
    use testkit::plugins::transform;

    /// Builds a transform and applies it to messages; returns the batch and how many were dropped.
    pub fn apply<M: Fn(&mut BatchBuilder)>(kind: &Kind, toml: &str, makers: &[M]) -> (Batch, usize) {
        try_apply(kind, toml, makers).unwrap()
    }

    /// As [`apply`]; the reason of the first reject is the error.
    pub fn try_apply<M: Fn(&mut BatchBuilder)>(kind: &Kind, toml: &str, makers: &[M]) -> Result<(Batch, usize), String> {
        let mut transform = transform(kind, toml).unwrap();
        let (mut builder, mut dropped) = (BatchBuilder::default(), 0);
        for make in makers {
            make(&mut builder);
            let (raw, messages) = builder.parts();
            let index = messages.len() - 1;
            if transform.transform(raw, messages, index).map_err(|r| r.to_string())? == Transformed::Drop {
                messages.remove(index);
                dropped += 1;
            }
        }
        Ok((builder.finish(), dropped))
    }

    /// Why options are refused.
    pub fn error(kind: &Kind, toml: &str) -> String {
        transform(kind, toml).err().expect("a problem with the options")
    }
}
