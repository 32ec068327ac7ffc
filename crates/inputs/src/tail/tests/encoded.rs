//! Text in other encodings is made UTF-8, and read on at the exact character.

use plugin::Intake;

use super::*;

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn append(logs: &Logs, name: &str, bytes: &[u8]) {
    logs.writer(name).write_all(bytes).unwrap();
}

fn lines(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| format!("Größe {i} 🦀")).collect()
}

fn texts(range: std::ops::Range<usize>) -> String {
    lines(range).iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn utf16_is_read_on_where_it_was_left() {
    let logs = Logs::new();
    append(&logs, "a.log", &utf16(&format!("\u{feff}{}", texts(0..60_000))));
    let (mut intake, mut all) = (RecordingIntake::default().with_block(999), Vec::new());
    for enough in [100, 20_000, 45_000, 60_003] {
        if enough == 45_000 {
            let half = utf16(&texts(60_000..60_003));
            append(&logs, "a.log", &half[..half.len() - 1]);
        }
        if enough == 60_003 {
            append(&logs, "a.log", &[0]);
        }
        let had = all.len();
        run_until(logs.tail("a.log", "encoding = 'utf-16'"), &intake, |seen| had + seen.complete_lines().len() >= enough);
        all.extend(intake.seen().complete_lines());
        intake = intake.restarted();
    }
    assert!(all == lines(0..60_003), "{} lines", all.len());
    assert!(intake.checkpoints()[0].identity.contains(";m="), "where positions are in the file is remembered");
}

#[test]
fn utf16_from_the_end_and_over_a_truncation() {
    let logs = Logs::new();
    append(&logs, "a.log", &utf16("\u{feff}old\n"));
    let first = RecordingIntake::default();
    let running = start(logs.tail("a.log", "encoding = 'utf-16'\nfrom = 'end'"), &first);
    running.wait_for(|seen| seen.polls > 0);
    append(&logs, "a.log", &utf16("nöw\nha"));
    running.wait_for(|seen| seen.bytes() == "nöw\nha".as_bytes());
    running.stop().unwrap();
    let second = first.restarted();
    append(&logs, "a.log", &utf16("lf\n"));
    let running = start(logs.tail("a.log", "encoding = 'utf-16'\nfrom = 'end'"), &second);
    running.wait_for(|seen| seen.bytes() == b"half\n");
    fs::write(logs.at("a.log"), utf16("\u{feff}é\n")).unwrap();
    running.wait_for(|seen| seen.bytes() == "half\né\n".as_bytes());
}

#[test]
fn latin1_and_rotation() {
    let logs = Logs::new();
    append(&logs, "a.log", b"M\xfcller\n");
    let intake = RecordingIntake::default();
    let running = start(logs.tail("a.log", "encoding = 'latin-1'"), &intake);
    running.wait_for(|seen| seen.bytes() == "Müller\n".as_bytes());
    logs.rename("a.log", "a.log.1");
    append(&logs, "a.log.1", b"\xe9\n");
    append(&logs, "a.log", b"\xff\n");
    running.wait_for(|seen| seen.bytes() == "Müller\né\nÿ\n".as_bytes());
}
