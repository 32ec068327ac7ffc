//! `struct`: bytes.

use crate::support::{error_of, passes};

#[test]
fn packs_and_unpacks() {
    passes(
        r#"
        require "struct"
        assert(struct.pack("<i4", 1) == "\1\0\0\0" and struct.pack(">i4", 1) == "\0\0\0\1" and struct.pack(">I2", 0x1234) == "\x12\x34")
        assert(struct.pack("bBhH", -1, 255, -2, 65534) == "\255\255\254\255\254\255")
        assert(struct.pack("<d", 1.5) == string.pack("<d", 1.5) and struct.pack(">f", 1.5) == string.pack(">f", 1.5))
        assert(struct.pack("s", "ab") == "ab\0" and struct.pack("c2", "abc") == "ab" and struct.pack("Bc0", 3, "abc") == "\3abc")
        assert(struct.pack(">i16", -2) == ("\255"):rep(15) .. "\254")
        local function back(format, ...)
            local values, given = {struct.unpack(format, struct.pack(format, ...))}, {...}
            for i, value in ipairs(given) do assert(values[i] == value, format .. " " .. i) end
            assert(#values == #given + 1 and values[#values] == #struct.pack(format, ...) + 1)
        end
        back("<bBhHlLTiIfds", -3, 250, -300, 60000, math.mininteger, math.maxinteger, 7, -70000, 4000000000, 0.5, 0.1, "text")
        back(">!8bl x d i4", 1, 2, 0.1, -5)
        back("<i3", -5)
        back("=c3s", "abc", "")
        assert(struct.unpack("<L", ("\255"):rep(8)) == -1 and struct.unpack("<i3", "\255\255\255") == -1 and struct.unpack("<I3", "\255\255\255") == 0xffffff)
        local text, next = struct.unpack("Bc0", "\3abcd")
        assert(text == "abc" and next == 5)
        assert(struct.unpack("<H", "xx\1\0", 3) == 1 and struct.pack("<L", 2^63) == "\0\0\0\0\0\0\0\128")
        assert(struct.size("<!4bi4") == 8 and struct.size("bi4") == 5 and struct.size("c10") == 10 and struct.size("") == 0)
    "#,
    );
}

#[test]
fn aligns_as_string_pack_does() {
    passes(
        r#"
        require "struct"
        for _, format in ipairs{"!4 b i4 h i8", "!8 b l b h b d", "!2 b i8 b f"} do
            local theirs = format:gsub("l", "i8")
            assert(struct.size(format) == string.packsize(theirs), format)
        end
    "#,
    );
}

#[test]
fn says_what_is_wrong() {
    for (call, why) in [
        ("struct.pack('y', 1)", "bad argument #1 to 'pack' (invalid format option 'y')"),
        ("struct.pack('i33', 1)", "integral size 33 is not 1 to 32"),
        ("struct.pack('!3', 1)", "alignment is not a power of 2"),
        ("struct.pack('i4')", "bad argument #2 to 'pack' (number expected, got no value)"),
        ("struct.pack('c5', 'abc')", "string too short: 5 bytes expected, got 3"),
        ("struct.pack('s', 'a\\0b')", "string contains a zero byte"),
        ("struct.unpack('i4', 'abc')", "data string too short: 4 bytes expected at position 1, it has 3"),
        ("struct.unpack('s', 'abc')", "unfinished string in data"),
        ("struct.unpack('c0', 'abc')", "format 'c0' needs a size before it"),
        ("struct.unpack('Bc0', '\\9abc')", "data string too short: 9 bytes expected"),
        ("struct.unpack('b', 'a', 0)", "position must be >= 1"),
        ("struct.unpack('b', 'a', math.maxinteger)", "data string too short"),
        ("struct.size('s')", "a format with s or c0 has no fixed size"),
        ("struct.size('c99999999999999999999')", "number in format is too large"),
    ] {
        let error = error_of(&format!("require 'struct' {call}"));
        assert!(error.contains(why), "{call}: {error}");
    }
}
