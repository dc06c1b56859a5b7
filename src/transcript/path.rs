//! Paths of transcripts: checks, the names of rotated files, and errors that contain a path.

use crate::error::{Error, Result};
use crate::wire::push_escaped;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Rejects a path that cannot be the name of a file.
pub(crate) fn check_path(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(Error::Value(
            "invalid file name: expected at least one character and no NUL (\\0), for example \
             \"chat.log\""
                .into(),
        ));
    }
    Ok(())
}

/// An error of the system, with the operation, the path, and a remedy for the common causes.
pub(crate) fn io_error(operation: &str, path: &Path, error: &io::Error) -> Error {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or(&text);
    let advice = match errno {
        libc::ENOSPC | libc::EDQUOT => {
            "; earlier lines are intact, and logging continues once there is free space"
        }
        libc::ENOENT | libc::ENOTDIR if operation != "read" => "; check that its folder exists",
        libc::EACCES | libc::EPERM | libc::EROFS if operation != "read" => {
            "; choose a file with write permission"
        }
        _ => "",
    };
    Error::Os {
        errno,
        message: format!("cannot {operation} {}: {reason}{advice}", quote_path(path)),
    }
}

/// The error of a failed `fsync`.
pub(crate) fn save_error(path: &Path, error: &io::Error) -> Error {
    let mut error = io_error("save", path, error);
    if let Error::Os { message, .. } = &mut error {
        message.push_str(
            "; the lines since the last save are in the file, but a power failure may remove them",
        );
    }
    error
}

/// A path for an error: complete, in quotes, and escaped.
pub(crate) fn quote_path(path: &Path) -> String {
    let mut out = String::from("'");
    for c in path.to_string_lossy().chars() {
        push_escaped(&mut out, c);
    }
    out.push('\'');
    out
}

/// The path with a dot and `suffix` appended.
pub(crate) fn with_suffix(path: &Path, suffix: impl std::fmt::Display) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{suffix}"));
    name.into()
}

/// The numbers of the rotated files of `path`, lowest (newest) first. A number may be missing if a
/// process was killed while it rotated.
pub(crate) fn rotated_numbers(path: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(numbers);
    };
    for entry in fs::read_dir(folder)? {
        let entry = entry?.file_name();
        let suffix = entry
            .as_encoded_bytes()
            .strip_prefix(name.as_encoded_bytes())
            .and_then(|rest| rest.strip_prefix(b"."));
        let number =
            suffix.and_then(|suffix| std::str::from_utf8(suffix).ok()?.parse::<u32>().ok());
        // Rotation never writes a leading zero, so "07" is a different file.
        numbers.extend(number.filter(|number| {
            *number > 0 && suffix.is_some_and(|suffix| suffix == number.to_string().as_bytes())
        }));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Identifies a file independently of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    #[cfg(unix)]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(metadata.dev(), metadata.ino())
    }

    /// The creation time is the best identification that the standard library has on Windows.
    #[cfg(windows)]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        use std::os::windows::fs::MetadataExt;
        Self(0, metadata.creation_time())
    }
}
