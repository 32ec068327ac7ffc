//! `read_config`

use std::ffi::c_int;

use crate::ConfigValue;
use crate::vm::Lua;

/// `read_config(key)`: the value of an option of the script, nil when it is not set.
pub(crate) fn read_config(lua: Lua) -> c_int {
    if lua.top() != 1 {
        lua.raise(format_args!("read_config() must have a single argument"));
    }
    let key = lua.check_bytes(1);
    match lua.host().config.config.iter().find(|(name, _)| name.as_bytes() == key).map(|(_, value)| value) {
        Some(ConfigValue::String(s)) => lua.push_bytes(s.as_bytes()),
        Some(ConfigValue::Integer(n)) => lua.push_integer(*n),
        Some(ConfigValue::Number(n)) => lua.push_number(*n),
        Some(ConfigValue::Bool(b)) => lua.push_bool(*b),
        None => lua.push_nil(),
    }
    1
}
