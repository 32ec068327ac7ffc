//! A disk in memory. What was not synchronised may be gone after a crash, sector by sector and name
//! by name; operations fail when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use journal::disk::{Disk, DiskFile};

pub const SECTOR: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Input/output error. A failed sync makes the system take pages for written that are not.
    Eio,
    /// The same, and the pages are gone from memory too.
    Evict,
    NoSpace,
    /// A write that ends early, without an error.
    Short,
}

#[derive(Debug, Default)]
struct Inode {
    /// What reads see.
    now: Vec<u8>,
    /// What is on the platter.
    disk: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Inode {
    fn sector(bytes: &[u8], n: usize) -> Vec<u8> {
        let mut sector: Vec<u8> = bytes.iter().skip(n * SECTOR).take(SECTOR).copied().collect();
        sector.resize(SECTOR, 0);
        sector
    }

    fn put(bytes: &mut [u8], n: usize, sector: &[u8]) {
        for (to, from) in bytes.iter_mut().skip(n * SECTOR).zip(sector) {
            *to = *from;
        }
    }

    fn flush(&mut self, sectors: impl IntoIterator<Item = usize>) {
        for n in sectors {
            let sector = Inode::sector(&self.now, n);
            Inode::put(&mut self.disk, n, &sector);
        }
    }

    fn touch(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
    }
}

#[derive(Clone, Debug)]
enum Change {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

impl Change {
    fn apply(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Change::Create(name, inode) => drop(names.insert(name, inode)),
            Change::Remove(name) => drop(names.remove(&name)),
            Change::Rename(from, to) => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    names_on_disk: BTreeMap<String, usize>,
    changes: Vec<Change>,
    /// Operations to come before a fault, and the fault.
    faults: Vec<(u32, Fault)>,
    room: Option<u64>,
    bad_reads: bool,
    random: u64,
}

impl World {
    /// xorshift64*, Vigna, "An experimental exploration of Marsaglia's xorshift generators".
    fn random(&mut self) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize
    }

    fn chance(&mut self) -> bool {
        self.random().is_multiple_of(2)
    }

    fn fault(&mut self) -> Option<Fault> {
        for fault in &mut self.faults {
            fault.0 = fault.0.wrapping_sub(1);
        }
        let due = self.faults.iter().position(|f| f.0 == u32::MAX)?;
        Some(self.faults.remove(due).1)
    }

    /// A fault at an operation that works or does not.
    fn fail(&mut self) -> io::Result<()> {
        match self.fault() {
            None | Some(Fault::Short) => Ok(()),
            Some(Fault::NoSpace) => Err(no_space()),
            Some(_) => Err(eio()),
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|i| self.inodes[*i].now.len() as u64).sum()
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn no_space() -> io::Error {
    io::Error::from_raw_os_error(28)
}

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<World>>);

#[derive(Debug)]
struct SimFile(SimDisk, usize);

impl SimDisk {
    pub fn new(seed: u64) -> SimDisk {
        let disk = SimDisk::default();
        disk.world().random = seed | 1;
        disk
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// The fault comes at the operation after `after` others that change something.
    pub fn fault(&self, after: u32, fault: Fault) {
        self.world().faults.push((after, fault));
    }

    pub fn heal(&self) {
        let mut world = self.world();
        (world.room, world.bad_reads) = (None, false);
        world.faults.clear();
    }

    /// Only so many bytes more.
    pub fn set_room(&self, more: u64) {
        let mut world = self.world();
        world.room = Some(world.used() + more);
    }

    /// Every read of more than a page fails, and so does every second page.
    pub fn set_bad_reads(&self) {
        self.world().bad_reads = true;
    }

    /// The power fails: of what was not synchronised any part may be there or not.
    pub fn crash(&self) {
        let mut world = self.world();
        let changes = std::mem::take(&mut world.changes);
        let mut names = std::mem::take(&mut world.names_on_disk);
        for change in changes {
            if world.chance() {
                change.apply(&mut names);
            }
        }
        world.names_on_disk = names.clone();
        world.names = names;
        for i in 0..world.inodes.len() {
            let mut inode = std::mem::take(&mut world.inodes[i]);
            let (old, new) = (inode.disk.len(), inode.now.len());
            let (low, high) = (old.min(new), old.max(new));
            let length = [old, new, low + (high - low) / 2 / SECTOR * SECTOR][world.random() % 3];
            inode.disk.resize(length, 0);
            let kept: Vec<usize> = inode.dirty.iter().copied().filter(|_| world.chance()).collect();
            inode.flush(kept);
            inode.dirty.clear();
            inode.now = inode.disk.clone();
            world.inodes[i] = inode;
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.world().names.keys().cloned().collect()
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let world = self.world();
        world.inodes[world.names[name]].now.clone()
    }

    /// Puts other bytes in a file, as damage does.
    pub fn set_bytes(&self, name: &str, bytes: &[u8]) {
        let mut world = self.world();
        let inode = world.names[name];
        world.inodes[inode] = Inode { now: bytes.to_vec(), disk: bytes.to_vec(), dirty: BTreeSet::new() };
    }
}

impl Disk for SimDisk {
    fn path(&self) -> &Path {
        Path::new("sim")
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let world = self.world();
        Ok(world.names.iter().map(|(name, i)| (name.clone(), world.inodes[*i].now.len() as u64)).collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.world().names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile(self.clone(), inode)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        // Should the mark of a failed sync fail as well, then a kill at this moment is not survived.
        if !name.ends_with(".suspect") {
            world.fail()?;
        }
        if let Some(inode) = world.names.get(name).copied() {
            let inode_now = &mut world.inodes[inode];
            let length = inode_now.now.len();
            inode_now.touch(0, length);
            inode_now.now.clear();
            return Ok(Box::new(SimFile(self.clone(), inode)));
        }
        world.inodes.push(Inode::default());
        let inode = world.inodes.len() - 1;
        world.changes.push(Change::Create(name.to_string(), inode));
        world.names.insert(name.to_string(), inode);
        Ok(Box::new(SimFile(self.clone(), inode)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        world.fail()?;
        if !world.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let change = Change::Rename(from.to_string(), to.to_string());
        change.clone().apply(&mut world.names);
        world.changes.push(change);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.fail()?;
        world.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        world.changes.push(Change::Remove(name.to_string()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut world = self.world();
        world.fail()?;
        world.changes.clear();
        world.names_on_disk = world.names.clone();
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut world = self.0.world();
        let fault = world.fault();
        let all: Vec<u8> = parts.iter().flat_map(|p| p.iter().copied()).collect();
        let offset = offset as usize;
        let held = world.inodes[self.1].now.len();
        let room = world.room.map_or(usize::MAX, |room| room.saturating_sub(world.used()) as usize);
        let fits = all.len().min((held.max(offset) - offset).saturating_add(room));
        let n = match fault {
            None => fits,
            Some(Fault::NoSpace) => return Err(no_space()),
            Some(_) => world.random() % all.len().max(1),
        };
        if n == 0 && fault.is_none() {
            return Err(no_space());
        }
        let inode = &mut world.inodes[self.1];
        if inode.now.len() < offset + n {
            inode.now.resize(offset + n, 0);
        }
        inode.now[offset..offset + n].copy_from_slice(&all[..n]);
        inode.touch(held.min(offset), offset + n);
        match fault {
            None => Ok(n),
            Some(Fault::Short) if n > 0 => Ok(n),
            Some(_) => Err(eio()),
        }
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.0.world();
        if world.bad_reads && (into.len() > 4096 || (offset / 4096) % 2 == 1) {
            return Err(eio());
        }
        let now = &world.inodes[self.1].now;
        let start = now.len().min(offset as usize);
        let n = into.len().min(now.len() - start);
        into[..n].copy_from_slice(&now[start..start + n]);
        Ok(n)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut world = self.0.world();
        world.fail()?;
        let inode = &mut world.inodes[self.1];
        let held = inode.now.len();
        inode.touch(held.min(length as usize), held.max(length as usize));
        inode.now.resize(length as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.0.world();
        let fault = world.fault();
        let mut inode = std::mem::take(&mut world.inodes[self.1]);
        let dirty = std::mem::take(&mut inode.dirty);
        if matches!(fault, None | Some(Fault::Short)) {
            inode.disk.resize(inode.now.len(), 0);
            inode.flush(dirty);
        } else {
            let written: Vec<usize> = dirty.iter().copied().filter(|_| world.chance()).collect();
            inode.flush(written.iter().copied());
            if fault == Some(Fault::Evict) {
                for n in dirty {
                    let sector = Inode::sector(&inode.disk, n);
                    Inode::put(&mut inode.now, n, &sector);
                }
            }
        }
        world.inodes[self.1] = inode;
        match fault {
            None | Some(Fault::Short) => Ok(()),
            Some(Fault::NoSpace) => Err(no_space()),
            Some(_) => Err(eio()),
        }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.world().inodes[self.1].now.len() as u64)
    }
}
