//! The last messages of a file, without reading all that comes before them.

use crate::error::Result;
use crate::transcript::{failed, Entry};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// How much is read at first, and at most: lines may be long.
const FIRST: u64 = 64 * 1024;
const MOST: u64 = 4 * 1024 * 1024;

/// The last `count` messages, and whether there is something before them.
pub fn tail(path: &Path, count: usize) -> Result<(Vec<Entry>, bool)> {
    read_back(path, count).map_err(|error| failed("read", path, &error))
}

fn read_back(path: &Path, count: usize) -> io::Result<(Vec<Entry>, bool)> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut window = FIRST;
    loop {
        let start = size.saturating_sub(window);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        (&mut file).take(size - start).read_to_end(&mut block)?;
        let mut lines: Vec<&[u8]> = block.split(|byte| *byte == b'\n').collect();
        // What stands after the last line break is not whole yet; what stands before the first
        // one may have begun earlier.
        lines.pop();
        let cut = usize::from(start > 0).min(lines.len());
        let mut entries: Vec<Entry> = lines[cut..]
            .iter()
            .filter_map(|line| Entry::parse(line))
            .collect();
        if entries.len() < count && start > 0 && window < MOST {
            window = (window * 4).min(MOST);
            continue;
        }
        let before = entries.len().saturating_sub(count);
        entries.drain(..before);
        return Ok((entries, before > 0 || start > 0));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::tail;
    use crate::transcript::{Format, Record};
    use crate::wire::message::{interpret, Framing};
    use std::fs;

    fn lines(texts: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for (at_ns, text) in (0..).zip(texts) {
            let meaning = interpret(&[*text], Framing::Plain, 0);
            let record = Record {
                frames: vec![text],
                framing: Framing::Plain,
                meaning: &meaning,
                at_ns,
            };
            Format::Text.push_line(&mut out, &record);
        }
        out
    }

    #[test]
    fn the_last_messages_are_found_from_the_end() {
        let path = std::env::temp_dir().join(format!("zmqchat-tail-{}", std::process::id()));
        let long = vec![b'x'; 100_000];
        let mut content = lines(&[b"first", &long, &long, b"last but one", b"last"]);
        content.extend(b"# a remark\nnot whole");
        fs::write(&path, &content).unwrap();
        for count in [0, 1, 2, 4, 5, 9] {
            let (found, more) = tail(&path, count).unwrap();
            assert_eq!(found.len(), count.min(5));
            assert_eq!(more, count < 5);
            assert!(found
                .iter()
                .rev()
                .zip([&b"last"[..], b"last but one", &long, &long, b"first"])
                .all(|(entry, expected)| entry.frames == [expected]));
        }
        fs::write(&path, b"").unwrap();
        assert_eq!(tail(&path, 3).unwrap(), (vec![], false));
        fs::remove_file(&path).unwrap();
        assert!(tail(&path, 3)
            .unwrap_err()
            .to_string()
            .contains("zmqchat-tail"));
    }
}
