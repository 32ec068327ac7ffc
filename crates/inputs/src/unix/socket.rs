use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, chmod, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A socket's file, which is removed when this goes, if it still is the one that was made.
#[derive(Debug)]
pub struct Bound {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Bound {
    /// A socket that does not block, and listens if it is one for streams. What an earlier run left at
    /// the path is replaced.
    ///
    /// # Errors
    /// When there is no such directory, or something else at the path.
    pub fn new(path: &Path, kind: Type, permissions: u32) -> io::Result<(Bound, Socket)> {
        let address = SockAddr::unix(path)?;
        make_room(path, &address, kind)?;
        let mode = Mode::from_raw_mode(permissions);
        let socket = Socket::new(Domain::UNIX, kind, None)?;
        // The file begins with the mode of the socket, less the umask: nobody gets in before it is set.
        fchmod(&socket, mode)?;
        socket.bind(&address)?;
        let m = fs::symlink_metadata(path)?;
        let bound = Bound { path: path.to_path_buf(), identity: (m.dev(), m.ino()) };
        chmod(path, mode)?;
        socket.set_nonblocking(true)?;
        if kind == Type::STREAM {
            socket.listen(BACKLOG)?;
        }
        Ok((bound, socket))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens at.
fn make_room(path: &Path, address: &SockAddr, kind: Type) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
        Ok(m) if !m.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Ok(_) => {}
    }
    let probe = Socket::new(Domain::UNIX, kind, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(e),
        // Also when it is of another kind, or has no room for one more.
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    #[test]
    fn what_an_earlier_run_left_is_replaced_and_what_is_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for kind in [Type::STREAM, Type::DGRAM] {
            let path = dir.path().join(format!("{kind:?}.sock"));
            drop(UnixListener::bind(&path).unwrap());
            assert!(path.exists());
            let (bound, socket) = Bound::new(&path, kind, 0o600).unwrap();
            for other in [Type::STREAM, Type::DGRAM] {
                assert!(Bound::new(&path, other, 0o600).unwrap_err().to_string().contains("another process"));
            }
            drop((bound, socket));
            assert!(!path.exists());
        }
        let path = dir.path().join("datagram.sock");
        let other = UnixDatagram::bind(&path).unwrap();
        assert!(Bound::new(&path, Type::DGRAM, 0o600).is_err());
        drop(other);
        Bound::new(&path, Type::DGRAM, 0o600).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "text").unwrap();
        assert!(Bound::new(&path, Type::STREAM, 0o600).unwrap_err().to_string().contains("no socket"));
        assert_eq!(fs::read_to_string(path).unwrap(), "text");
        assert!(Bound::new(&dir.path().join("missing/in.sock"), Type::STREAM, 0o600).is_err());
        assert!(Bound::new(&dir.path().join("x".repeat(200)), Type::STREAM, 0o600).is_err());
    }

    #[test]
    fn a_socket_that_took_our_place_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.sock");
        let ours = Bound::new(&path, Type::STREAM, 0o600).unwrap();
        fs::rename(&path, dir.path().join("aside")).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(path.exists());
        drop(other);
    }
}
