//! The last messages of a file, read from its end.

use crate::error::Result;
use crate::transcript::entry::Entry;
use crate::transcript::format::parse_line;
use crate::transcript::path::io_error;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// How many bytes are read at first, and at most.
const FIRST_WINDOW: u64 = 64 * 1024;
const MAX_WINDOW: u64 = 4 * 1024 * 1024;

/// Returns the last `count` messages, and whether the file has earlier lines.
pub fn tail(path: &Path, count: usize) -> Result<(Vec<Entry>, bool)> {
    read_back(path, count).map_err(|error| io_error("read", path, &error))
}

fn read_back(path: &Path, count: usize) -> io::Result<(Vec<Entry>, bool)> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut window = FIRST_WINDOW;
    loop {
        let start = size.saturating_sub(window);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        (&mut file).take(size - start).read_to_end(&mut block)?;
        let mut lines: Vec<&[u8]> = block.split(|byte| *byte == b'\n').collect();
        // The bytes after the last line break are incomplete. The bytes before the first one may be
        // the end of a line.
        lines.pop();
        let first = usize::from(start > 0).min(lines.len());
        let mut entries: Vec<Entry> = lines[first..]
            .iter()
            .filter_map(|line| parse_line(line))
            .collect();
        if entries.len() < count && start > 0 && window < MAX_WINDOW {
            window = (window * 4).min(MAX_WINDOW);
            continue;
        }
        let earlier = entries.len().saturating_sub(count);
        entries.drain(..earlier);
        return Ok((entries, earlier > 0 || start > 0));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::tail;
    use crate::transcript::entry::Record;
    use crate::transcript::format::Format;
    use crate::wire::message::{interpret, Framing};
    use std::fs;

    fn lines(texts: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for (received_ns, text) in (0..).zip(texts) {
            let parsed = interpret(&[*text], Framing::Plain, 0);
            let record = Record {
                frames: vec![text],
                framing: Framing::Plain,
                parsed: &parsed,
                received_ns,
            };
            Format::Text.push_line(&mut out, &record);
        }
        out
    }

    #[test]
    fn tail_returns_the_last_messages() {
        let path = std::env::temp_dir().join(format!("zmqchat-tail-{}", std::process::id()));
        let long = vec![b'x'; 100_000];
        let mut content = lines(&[b"first", &long, &long, b"last but one", b"last"]);
        content.extend(b"# a comment\nincomplete");
        fs::write(&path, &content).unwrap();
        for count in [0, 1, 2, 4, 5, 9] {
            let (entries, has_earlier) = tail(&path, count).unwrap();
            assert_eq!(entries.len(), count.min(5));
            assert_eq!(has_earlier, count < 5);
            assert!(entries
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
