//! States that once went wrong.

use std::sync::Arc;

use journal::{AppendError, Journal, Lost, Settings, What};

use crate::behaviour::payloads;
use crate::model::Op::*;
use crate::model::run;
use crate::sim::Fault::*;
use crate::sim::SimDisk;

#[test]
fn a_segment_that_lost_all_its_records_is_not_sealed_beside_another_of_its_name() {
    run(
        4010359088371186256,
        vec![
            Fault(4, Eio),
            Append(9),
            Append(9),
            Append(9),
            Append(5000),
            Append(5000),
            Append(9),
            Sync,
            Crash,
            Append(5000),
            Crash,
            Append(9),
            Release(9),
            Append(5000),
            Append(961),
            Append(5000),
            Crash,
            Fault(0, Eio),
            Sync,
            Append(9),
            Release(7),
            Sync,
        ],
    );
}

/// The second sync succeeds, since the system takes the lost pages for written.
#[test]
fn a_failed_sync_is_not_forgotten_when_the_process_ends() {
    run(1148959998309749326, vec![Append(5000), Fault(2, Eio), Fault(3, Eio), Append(9), Sync, Kill, Sync, Crash]);
}

/// Then its segment was longer than had been counted on.
#[test]
fn a_spare_file_that_cannot_be_reused_does_not_lead_beyond_the_limit() {
    let fill = [5000, 9, 9, 5000, 229, 1392, 9, 1432, 5000, 5000, 357, 986, 198, 5000, 558, 5000];
    let mut ops: Vec<_> = fill.into_iter().map(Append).collect();
    ops.insert(1, Sync);
    ops.extend([Sync, Fault(4, Eio), Release(2), Append(5000)]);
    run(210268434564, ops);
}

/// The header that was lost gave way to that of the file's earlier life.
#[test]
fn a_reused_segment_written_anew_has_its_own_header() {
    let ops = vec![
        Append(9),
        Sync,
        Append(5000),
        Crash,
        Append(5000),
        Append(9),
        Append(5000),
        Append(9),
        Append(5000),
        Sync,
        Release(9),
        Crash,
        Append(448),
        Fault(5, Evict),
        Append(9),
        Append(5000),
        Sync,
        Sync,
        Kill,
    ];
    run(1492956978482618280, ops);
}

#[test]
fn an_append_without_room_leaves_nothing_behind_and_works_when_there_is_room() {
    let disk = SimDisk::new(3);
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), Settings::default(), 2).unwrap();
    journal.append(&[&[1; 1000]]).unwrap();
    let before = disk.bytes(&disk.names()[0]);
    for room in [0, 10, 31, 32, 500, 1031] {
        disk.set_room(room);
        assert!(matches!(journal.append(&[&[2; 1000]]), Err(AppendError::NoSpace(_))), "{room}");
        assert_eq!(disk.bytes(&disk.names()[0]), before);
        assert_eq!(journal.bytes(), before.len() as u64);
    }
    disk.set_room(1032);
    assert_eq!(journal.append(&[&[3; 1000]]).unwrap(), 2);
    assert_eq!(payloads(&journal, 1).0, [vec![1; 1000], vec![3; 1000]]);
}

#[test]
fn a_segment_that_cannot_be_cut_back_is_left_for_another() {
    let disk = SimDisk::new(5);
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), Settings::default(), 2).unwrap();
    journal.append(&[&[1; 1000]]).unwrap();
    disk.fault(0, Eio);
    disk.fault(1, Eio);
    assert!(matches!(journal.append(&[&[2; 5000]]), Err(AppendError::Io(_))));
    assert_eq!(journal.append(&[&[3; 10]]).unwrap(), 2);
    assert_eq!(disk.names().len(), 2);
    assert_eq!(payloads(&journal, 1), (vec![vec![1; 1000], vec![3; 10]], vec![]));
    drop(journal);
    let (journal, findings) = Journal::open_on(Arc::new(disk), Settings::default(), 2).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(payloads(&journal, 1), (vec![vec![1; 1000], vec![3; 10]], vec![]));
}

#[test]
fn records_that_the_disk_lost_are_told_until_that_is_acknowledged() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let (journal, _) = Journal::open_on(Arc::new(disk.clone()), Settings::default(), 2).unwrap();
        journal.append(&[&[1; 1000]]).unwrap();
        assert_eq!(journal.sync().unwrap(), 2);
        (0..20).for_each(|_| assert!(journal.append(&[&[2; 1000]]).is_ok()));
        disk.fault(0, Evict);
        let Err(e) = journal.sync() else { panic!("half of the sectors are gone") };
        let lost: Lost = e.get_ref().unwrap().downcast_ref::<Lost>().unwrap().clone();
        assert!(lost.seqs.start >= 2 && lost.seqs.end <= 22, "{lost}");
        journal.append(&[b"later"]).unwrap();
        assert!(journal.sync().unwrap_err().get_ref().unwrap().is::<Lost>());
        journal.accept_loss(&lost);
        assert_eq!(journal.sync().unwrap(), 23);
        disk.crash();
        let (journal, _) = Journal::open_on(Arc::new(disk), Settings::default(), 2).unwrap();
        let (found, findings) = payloads(&journal, 1);
        assert!(found.contains(&vec![1; 1000]) && found.contains(&b"later".to_vec()));
        assert!(findings.iter().all(|f| f.lost.start >= lost.seqs.start && f.lost.end <= lost.seqs.end), "{findings:?}");
    }
}

#[test]
fn blocks_that_cannot_be_read_cost_their_records_only() {
    let disk = SimDisk::new(7);
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), Settings::default(), 2).unwrap();
    (0..100u8).for_each(|n| assert!(journal.append(&[&[n; 400]]).is_ok()));
    disk.set_bad_reads();
    let (found, findings) = payloads(&journal, 1);
    assert!(found.len() < 100 && !findings.is_empty());
    assert!(findings.iter().all(|f| f.what == What::Unreadable || f.what == What::Missing), "{findings:?}");
    disk.heal();
    assert_eq!(payloads(&journal, 1).0.len(), 100);
}
