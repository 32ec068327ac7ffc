use options::Opt;
use plugin::{Family, Kind};

/// Options every input takes.
pub const INPUT_OPTIONS: &[Opt] = &[
    Opt::string("type").required().doc("Kind of input."),
    Opt::string("splitter")
        .default("line")
        .doc("How records are cut out of the stream: a kind of splitter or the NAME of a [splitter.NAME]."),
    Opt::string("decoder")
        .default("none")
        .doc("How records become messages: a kind of decoder, a well-known format or the NAME of a [decoder.NAME]."),
    Opt::strings("transform").default("").doc("Transforms applied in this order before anyone else sees the message."),
    Opt::size("max_record").default("1MiB").doc("Longest record taken."),
    Opt::choice("oversize", &["cut", "drop"])
        .default("cut")
        .doc("What becomes of a longer record: its beginning is kept, or none of it. Either is counted."),
    Opt::string("message_type").doc("Type of messages whose decoder sets none. Default: the input's name."),
    Opt::size("in_flight").default("64MiB").doc("Bytes that may be on their way to consumers before the input waits."),
];

/// Options every filter and output takes.
pub const CONSUMER_OPTIONS: &[Opt] = &[
    Opt::string("type").required().doc("Kind of filter or output."),
    Opt::matcher("match").sample("'Type == \"nginx.access\" && Fields[status] >= 500'").doc("Which messages it receives. Either this or `from` is required. A filter never receives what it injected itself."),
    Opt::strings("from").default("").sample("[\"filter.errors\"]").doc("Receive only what these inputs and filters send, such as \"input.access\"."),
    Opt::string("signer").doc("Receive only messages with a verified signature of this signer."),
    Opt::size("queue").default("16MiB").doc("Bytes that may wait for this plugin."),
    Opt::choice("when_full", &["spill", "hold", "drop_oldest", "drop_newest", "block"])
        .default("spill")
        .doc("When its queue is full: `spill` goes on in the journal, so that nobody waits (without `state` in [nilo], or when the journal is full: as `hold`); `hold` lets inputs that can wait do so and drops the oldest of the others; `block` lets every input wait; the other two drop and count."),
    Opt::bool("durable").default("false").doc("Messages that cannot be read again (of tcp, http, udp, statsd, filters) are in the journal before their sender is told that they were accepted, and come back after a crash. Needs `state` in [nilo]."),
];

/// Options every output takes besides.
pub const OUTPUT_OPTIONS: &[Opt] = &[
    Opt::string("encoder").doc("How messages become bytes: a kind of encoder or the NAME of an [encoder.NAME]. Default: the output's own."),
    Opt::integer("batch_count").default("10000").doc("Most messages handed over at once."),
    Opt::size("batch_bytes").default("1MiB").doc("Bytes after which no more messages are added to what is handed over at once."),
    Opt::duration("batch_age").default("0s").doc("How long to wait for a fuller batch. 0s: never; under load batches fill by themselves."),
    Opt::integer("unconfirmed").default("100000").doc("Messages that an output which confirms later may have taken without saying what became of them, and those that all instances of one with `concurrency` hold; their bytes are bounded by `queue`."),
    Opt::integer("concurrency").default("1").doc("Batches that are delivered at once, each by an instance of the output with a connection of its own: for outputs that wait for answers. 1 keeps the order of all messages."),
    Opt::strings("order_by").default("").sample("[\"Hostname\", \"Fields[user]\"]").doc("With `concurrency`: messages that are equal in these headers and fields (their first values) are delivered in order, by the same instance. Without it no order is kept."),
    Opt::duration("retry").default("250ms").doc("First pause after the world refused; doubles up to `retry_max`. After three refusals in a row no more than 16 messages are offered at a time, until some are taken."),
    Opt::duration("retry_max").default("30s").doc("Longest pause."),
];

/// Options that concern only routing: changing them leaves the plugin as it is.
pub(crate) const ROUTING: &[&str] = &["match", "from", "signer", "queue", "when_full", "durable"];

const CODEC_OPTIONS: &[Opt] = &[Opt::string("type").doc("Kind of plugin. Default: the section's own name.")];

/// All options a plugin of this kind takes: its family's and its own.
pub fn options_of(kind: &Kind) -> Vec<&'static [Opt]> {
    match kind.family() {
        Family::Input => vec![INPUT_OPTIONS, kind.options],
        Family::Filter => vec![CONSUMER_OPTIONS, kind.options],
        Family::Output => vec![CONSUMER_OPTIONS, OUTPUT_OPTIONS, kind.options],
        _ => vec![CODEC_OPTIONS, kind.options],
    }
}
