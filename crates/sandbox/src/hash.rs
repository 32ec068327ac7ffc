//! Hashes that are the same in every process: of a module's text and of a global's value.

use std::collections::HashMap;

use mlua::ffi;

use crate::native::object_at;
use crate::vm::Lua;

/// FNV-1a, 64 bits, finished with a mix of SplitMix64.
pub(crate) fn bytes_hash(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)))
}

fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn combine(tag: u64, value: u64) -> u64 {
    mix(tag.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ value)
}

/// The hash of a value that is not there.
pub(crate) const ABSENT: u64 = 0;
/// Tables nested deeper than this are not looked into.
const MAX_DEPTH: u32 = 150;

/// Bytes looked at for all globals together, some 0.1 s. What many names or tables refer to is looked
/// at many times, so the memory a script may have is no bound.
const MAX_WORK: usize = 64 << 20;
/// Bytes that an entry of a table counts for.
const ENTRY: usize = 32;

/// The hashes of globals' values: equal values have equal hashes, whatever order their tables are
/// in. Functions, and objects that cannot be saved, do not count.
pub(crate) struct ValueHash {
    /// Finished tables of this value, and those being walked (`None`).
    known: HashMap<usize, Option<u64>>,
    /// Bytes that may still be looked at.
    left: usize,
    /// Whether the last value refers to itself, is nested too deeply or is too much. Its hash then
    /// says little, so such a value always counts as changed.
    pub vague: bool,
}

impl Default for ValueHash {
    fn default() -> Self {
        ValueHash { known: HashMap::new(), left: MAX_WORK, vague: false }
    }
}

impl ValueHash {
    /// Hashes the value at `index`. Neither allocates in Lua nor raises.
    pub fn of(&mut self, lua: Lua, index: i32) -> u64 {
        self.known.clear();
        self.vague = false;
        self.value(lua, lua.absolute(index), 0)
    }

    /// Takes work on, unless it is too much.
    fn charge(&mut self, bytes: usize) -> bool {
        let enough = self.left >= bytes;
        self.left -= bytes.min(self.left);
        self.vague |= !enough;
        enough
    }

    fn value(&mut self, lua: Lua, index: i32, depth: u32) -> u64 {
        match lua.type_(index) {
            ffi::LUA_TBOOLEAN => combine(1, u64::from(lua.boolean(index))),
            ffi::LUA_TNUMBER if lua.is_integer(index) => combine(2, lua.integer(index).unwrap_or(0) as u64),
            ffi::LUA_TNUMBER => combine(3, lua.number(index).unwrap_or(0.0).to_bits()),
            ffi::LUA_TSTRING => {
                let text = lua.bytes(index).unwrap_or_default();
                combine(4, if self.charge(text.len()) { bytes_hash(text) } else { 0 })
            }
            ffi::LUA_TTABLE => combine(5, self.table(lua, index, depth)),
            ffi::LUA_TUSERDATA => self.object(lua, index),
            _ => ABSENT,
        }
    }

    /// An object counts as what is saved of it.
    fn object(&mut self, lua: Lua, index: i32) -> u64 {
        let mut saved = Vec::new();
        match object_at(lua, index) {
            Some(object) if self.charge(object.bytes()) && object.save(&mut saved) => combine(6, bytes_hash(&saved)),
            _ => ABSENT,
        }
    }

    fn table(&mut self, lua: Lua, index: i32, depth: u32) -> u64 {
        let address = lua.to_pointer(index) as usize;
        match self.known.get(&address) {
            Some(Some(hash)) => return *hash,
            Some(None) => {
                self.vague = true;
                return 1;
            }
            None => {}
        }
        if depth >= MAX_DEPTH || !lua.reserve(4) {
            self.vague = true;
            return 2;
        }
        if lua.get_metatable(index) != 0 {
            lua.pop(1);
            return 3;
        }
        self.known.insert(address, None);
        let mut sum = 4_u64;
        lua.push_nil();
        while lua.next(index) != 0 {
            let top = lua.top();
            if !self.charge(ENTRY) {
                lua.pop(2);
                break;
            }
            let value = self.value(lua, top, depth + 1);
            if value != ABSENT {
                let key = self.value(lua, top - 1, depth + 1);
                sum = sum.wrapping_add(combine(key, value)); // a sum: order does not matter
            }
            lua.pop(1);
        }
        self.known.insert(address, Some(sum));
        sum
    }
}
