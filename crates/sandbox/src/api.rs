//! The functions a script calls the host with: one table, from which registration, documentation
//! and completion come.

use mlua::ffi::lua_CFunction;

use crate::native::{self, NativeFn};
use crate::vm::{Lua, lua_function};
use crate::{Family, dialect, require};

mod checkpoint;
mod config;
mod decode;
mod encode;
mod every;
pub(crate) mod inject;
pub(crate) mod log;
mod matcher;
mod metric;
pub(crate) mod msg;
pub(crate) mod payload;
pub(crate) mod print;
pub(crate) mod read;
pub(crate) mod reference;
mod stream;
pub(crate) mod table;
mod time;
pub(crate) mod write;

/// Whose sandbox a script was written for, where two differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Api {
    #[default]
    Heka,
    Hindsight,
}

/// A function of the host. A name may have several rows, each for another API.
pub struct HostFunction {
    pub name: &'static str,
    /// In LuaLS types: `(name: string, field?: integer, ...: any) -> any, string?`.
    pub signature: &'static str,
    pub doc: &'static str,
    /// The families that have it; empty: all.
    pub families: &'static [Family],
    /// The APIs that have it; empty: both.
    pub apis: &'static [Api],
    body: Body,
}

/// Plain functions are the fastest; native ones are safe.
#[derive(Clone, Copy)]
enum Body {
    Plain(lua_CFunction),
    Native(NativeFn),
}

impl HostFunction {
    pub fn exists_for(&self, family: Family, api: Api) -> bool {
        (self.families.is_empty() || self.families.contains(&family)) && (self.apis.is_empty() || self.apis.contains(&api))
    }

    /// Pushes it. Raises when out of memory.
    pub(crate) fn push(&self, lua: Lua) {
        match self.body {
            Body::Plain(f) => lua.push_function(f),
            Body::Native(f) => native::push_function(lua, f),
        }
    }

    const fn new(name: &'static str, signature: &'static str, body: Body, doc: &'static str) -> HostFunction {
        HostFunction { name, signature, doc, families: &[], apis: &[], body }
    }

    const fn only(mut self, families: &'static [Family]) -> HostFunction {
        self.families = families;
        self
    }

    const fn api(mut self, apis: &'static [Api]) -> HostFunction {
        self.apis = apis;
        self
    }
}

impl std::fmt::Debug for HostFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.name, self.signature)
    }
}

/// The function a script of this family and API gets under this name.
pub(crate) fn find(name: &[u8], family: Family, api: Api) -> Option<&'static HostFunction> {
    HOST.iter().find(|f| f.name.as_bytes() == name && f.exists_for(family, api))
}

/// The types of objects that host functions return, for documentation.
pub const OBJECTS: &[&native::ObjectType] =
    &[&native::ObjectType::of::<matcher::MessageMatcher>(), &native::ObjectType::of::<stream::StreamReader>()];

/// Families that make messages.
const MAKERS: &[Family] = &[Family::Input, Family::Decoder, Family::Transform, Family::Filter, Family::Encoder];
/// Families that have a payload under construction.
const PAYLOAD: &[Family] = &[Family::Decoder, Family::Transform, Family::Filter, Family::Encoder];
/// Families that are given messages.
const READERS: &[Family] = &[Family::Decoder, Family::Transform, Family::Filter, Family::Encoder, Family::Output];
/// Families that change the message they are given.
const WRITERS: &[Family] = &[Family::Decoder, Family::Transform, Family::Encoder];

/// All functions of the host, sorted by name.
pub const HOST: &[HostFunction] = {
    use Body::{Native, Plain};
    &[
        HostFunction::new(
            "add_to_payload",
            "(...: string|number|boolean|nil|userdata)",
            Plain(lua_function!(payload::add_to_payload)),
            "Appends to the payload under construction.",
        )
        .only(PAYLOAD),
        HostFunction::new(
            "create_message_matcher",
            "(expression: string) -> message_matcher",
            Native(matcher::create_message_matcher),
            "Compiles a matcher expression; `:eval()` tells whether the message at hand matches.",
        )
        .only(READERS),
        HostFunction::new(
            "create_stream_reader",
            "(name: string) -> stream_reader",
            Native(stream::create_stream_reader),
            "Makes a reader that finds the messages of a stream of framed records.",
        ),
        HostFunction::new(
            "decode_message",
            "(protobuf: string) -> table",
            Native(decode::decode_message),
            "The message as a table. Its `Fields` are a list of `{name =, value_type =, representation =, value = {…}}`, its `Uuid` is 16 bytes.",
        ),
        HostFunction::new(
            "encode_message",
            "(message: table|string|stream_reader, framed?: boolean) -> string",
            Native(encode::encode_message),
            "The message as protobuf, as a framed record if wanted. The table is as for `inject_message`.",
        ),
        HostFunction::new(
            "every",
            "(interval: string|number, f: fun(ns: integer, last: boolean))",
            Plain(lua_function!(every::every)),
            "Sets up a timer while the script loads: `f` is called every so often (`\"500ms\"`, `\"10s\"`, `\"1m\"`, or seconds) with the nanoseconds at which \
             it was due, and once at an orderly stop, when `last` is true. At most 64.",
        )
        .only(&[Family::Filter]),
        HostFunction::new(
            "getfenv",
            "(f?: function|integer) -> table",
            Plain(lua_function!(dialect::getfenv)),
            "The environment of a function, as in Lua 5.1.",
        ),
        HostFunction::new(
            "inject_message",
            "(message: table|string|stream_reader|nil, checkpoint?: number|string)",
            Plain(lua_function!(inject::inject_message)),
            "Sends a message: a table such as `{Type = \"t\", Payload = \"…\", Fields = {name = value, list = {1, 2}, size = {value = 5, representation = \"B\"}}}`, \
             protobuf, or what a stream reader found. An input gives a checkpoint along, which it is called with when it is started again; \
             the message may then be nil. An encoder's message becomes its output.",
        )
        .only(MAKERS),
        HostFunction::new(
            "inject_payload",
            "(type?: string, name?: string, ...: string|number|boolean|nil|userdata)",
            Plain(lua_function!(payload::inject_payload)),
            "Appends to the payload under construction and sends it as a message with the fields `payload_type` (default `txt`) and `payload_name`. \
             Sends nothing if it is empty. An encoder's payload becomes its output.",
        )
        .only(PAYLOAD),
        HostFunction::new(
            "log.debug",
            "(format: any, ...: any)",
            Plain(lua_function!(log::debug)),
            "Writes a line to the log, as `string.format` makes it if there are several arguments. It counts among the lines of `print`.",
        ),
        HostFunction::new("log.error", "(format: any, ...: any)", Plain(lua_function!(log::error)), "As `log.debug`, at the level of errors."),
        HostFunction::new("log.info", "(format: any, ...: any)", Plain(lua_function!(log::info)), "As `log.debug`, at the level that `print` has."),
        HostFunction::new("log.warn", "(format: any, ...: any)", Plain(lua_function!(log::warn)), "As `log.debug`, at the level of warnings."),
        HostFunction::new(
            "metric",
            "(name: string, value: number, tags?: table<string, string|number|boolean>, kind?: \"counter\"|\"gauge\"|\"histogram\"|\"set\"|\"timer\")",
            Plain(lua_function!(metric::metric)),
            "Sends a metric: a message of Type `metric` with the fields `name`, `value`, `kind` (default `gauge`) and one for each tag. It counts \
             among injected messages.",
        )
        .only(&[Family::Input, Family::Decoder, Family::Transform, Family::Filter]),
        HostFunction::new(
            "module",
            "(name: string, ...: function)",
            Plain(lua_function!(require::module)),
            "Makes the calling file a module of this name, as in Lua 5.1.",
        ),
        HostFunction::new(
            "msg.values",
            "(name: string) -> any[]",
            Plain(lua_function!(msg::values)),
            "All values of all fields of this name, in their order; an empty list when there is none.",
        )
        .only(READERS),
        HostFunction::new(
            "print",
            "(...: any)",
            Plain(lua_function!(print::print)),
            "Writes a line to the log; at most 32 lines of 512 bytes a batch of messages.",
        ),
        HostFunction::new(
            "read_config",
            "(name: string) -> any",
            Native(config::read_config),
            "A value of `config`: a string, number or boolean, or a table of them; nil when it is not set.",
        )
        .api(&[Api::Heka]),
        HostFunction::new(
            "read_config",
            "(name?: string) -> any",
            Native(config::read_config),
            "A value of `config`, or one of `Logger`, `Hostname`, `Pid`, `memory_limit`, `instruction_limit`, `output_limit` and `max_message_size`; \
             without a name a table of all of them.",
        )
        .api(&[Api::Hindsight]),
        HostFunction::new(
            "read_message",
            "(name: string, field?: integer, array?: integer) -> any",
            Plain(lua_function!(read::heka)),
            "A header (`\"Type\"`), a field (`\"Fields[status]\"`) or `\"raw\"`, the message as protobuf. Indices count from 0. \
             An unset text header is `\"\"`, a missing field nil.",
        )
        .only(READERS)
        .api(&[Api::Heka]),
        HostFunction::new(
            "read_message",
            "(name: string, field?: integer, array?: integer, no_copy?: boolean) -> any",
            Plain(lua_function!(read::hindsight)),
            "A header, a field, or the message as protobuf (`\"raw\"`), as a framed record (`\"framed\"`), or its length (`\"size\"`). Indices count \
             from 0. What is unset is nil; `Uuid` is 16 bytes. With `no_copy`, something that stands for it: file:write writes what it is \
             then, and tostring tells it.",
        )
        .only(READERS)
        .api(&[Api::Hindsight]),
        HostFunction::new(
            "read_next_field",
            "() -> integer?, string?, any, string?, integer?",
            Native(decode::read_next_field),
            "Type, name, first value, representation and number of values of each field in turn; nil behind the last.",
        )
        .only(READERS)
        .api(&[Api::Heka]),
        HostFunction::new(
            "require",
            "(name: string) -> any",
            Plain(lua_function!(require::require)),
            "A library or module, loaded on first use.",
        ),
        HostFunction::new(
            "setfenv",
            "(f: function|integer, environment: table) -> function",
            Plain(lua_function!(dialect::setfenv)),
            "Gives a function another environment, as in Lua 5.1.",
        ),
        HostFunction::new(
            "update_checkpoint",
            "(sequence?: integer, failures?: integer)",
            Native(checkpoint::update_checkpoint),
            "Tells that everything up to and with this message has been delivered, but for so many that failed; without a number, everything \
             the output has been given. For outputs that answered −4 or −5.",
        )
        .only(&[Family::Output]),
        HostFunction::new(
            "write_message",
            "(name: string, value: string|number|boolean|nil, representation?: string, field?: integer, array?: integer)",
            Plain(lua_function!(write::write_message)),
            "Sets a header or field of the message, in an encoder of a copy of it; nil removes a field or value. An index that is one beyond the last appends. \
             `Timestamp` takes nanoseconds, or a time as text in one of the usual notations.",
        )
        .only(WRITERS),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_each_name_found_once() {
        assert!(HOST.windows(2).all(|w| w[0].name <= w[1].name));
        for family in [Family::Input, Family::Decoder, Family::Transform, Family::Filter, Family::Encoder, Family::Output] {
            for api in [Api::Heka, Api::Hindsight] {
                let mut names: Vec<_> = HOST.iter().filter(|f| f.exists_for(family, api)).map(|f| f.name).collect();
                let all = names.len();
                names.dedup();
                assert_eq!(names.len(), all, "{family:?} {api:?}");
            }
        }
    }
}
