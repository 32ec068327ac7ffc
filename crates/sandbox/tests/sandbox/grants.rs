//! Files and the environment: for inputs and outputs, if they are granted.

use sandbox::{Delivery, Family, Grants, SandboxConfig};

use crate::support::*;

const IO: Grants = Grants { io: true, exec: false };

fn run(family: Family, grants: Grants, source: &str) -> Result<(), String> {
    let config = SandboxConfig { grants, family, ..config() };
    let mut sandbox = load_with(&config, &body(&format!("{source} return 0")));
    match sandbox.deliver(message().get(0), 1, NOW) {
        Ok(Delivery::Done) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn files_are_read_and_written_where_granted() {
    let dir = tempfile::tempdir().unwrap();
    let source = format!(
        "local path = {:?}
        local f = assert(io.open(path, 'w')) f:write('one\\n', 2, '\\n') f:close()
        local lines = {{}} for line in io.lines(path) do lines[#lines + 1] = line end
        assert(#lines == 2 and lines[1] == 'one')
        assert(os.rename(path, path .. '.old') and io.open(path) == nil and os.remove(path .. '.old'))
        assert(os.getenv('PATH') and type(os.tmpname) == 'function' and require('io') == io and os.time() == 1700000000)
        assert(getmetatable(io.stdout) == false and not pcall(setmetatable, io.stdout, {{}}))",
        dir.path().join("x").display().to_string()
    );
    run(Family::Output, IO, &source).unwrap();
}

#[test]
fn what_is_not_granted_says_what_grants_it() {
    for family in [Family::Input, Family::Output] {
        let error = |source| run(family, Grants::default(), source).unwrap_err();
        assert!(
            error("io.open('x')").contains("io.open is not granted to this script: allow = [\\\"io\\\"] grants it"),
            "{}",
            error("io.open('x')")
        );
        assert!(error("require('io').lines('x')").contains("io.lines is not granted"));
        assert!(error("os.getenv('x')").contains("os.getenv is not granted to this script: allow = [\\\"io\\\"]"));
        assert!(error("os.execute('x')").contains("allow = [\\\"exec\\\"]"));
        assert!(
            run(family, IO, "os.execute('x')").unwrap_err().contains("os.execute is not granted to this script: allow = [\\\"exec\\\"]")
        );
        assert!(run(family, IO, "io.popen('x')").unwrap_err().contains("io.popen is not granted to this script: allow = [\\\"exec\\\"]"));
        run(family, Grants::default(), "assert(os.exit == nil and os.setlocale == nil and os.time)").unwrap();
    }
}

#[test]
fn programs_are_run_where_granted() {
    run(Family::Output, Grants { io: true, exec: true }, "assert(os.execute('true') and io.popen('echo x'):read() == 'x')").unwrap();
}

#[test]
fn other_families_have_no_files_whatever_is_granted() {
    for family in [Family::Filter, Family::Decoder, Family::Transform, Family::Encoder] {
        run(
            family,
            Grants { io: true, exec: true },
            "assert(io == nil and os.getenv == nil and os.execute == nil and not pcall(require, 'io'))",
        )
        .unwrap();
    }
}

#[test]
fn a_stream_reader_reads_files() {
    let dir = tempfile::tempdir().unwrap();
    let source = format!(
        "local path = {:?}
        local f = assert(io.open(path, 'wb'))
        for i = 1, 3 do f:write(encode_message({{Type = 't' .. i, Payload = ('x'):rep(5000)}}, true), 'junk') end
        f:close()
        f = assert(io.open(path, 'rb'))
        local r, size, offset, types = create_stream_reader('file'), f:seek('end'), 0, {{}}
        f:seek('set')
        local found, consumed, read
        repeat
            repeat
                found, consumed, read = r:find_message(f)
                offset = offset + consumed
                if found then types[#types + 1] = r:read_message('Type') end
            until not found
        until read == 0
        assert(table.concat(types, ' ') == 't1 t2 t3' and offset == size, offset)
        f:close()
        local ok, why = pcall(r.find_message, r, f)
        assert(not ok and why:find('open file', 1, true), why)",
        dir.path().join("x").display().to_string()
    );
    run(Family::Output, IO, &source).unwrap();
}
