//! Which files there are.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::ConfError;
use super::error::hint;

/// A filter on disk: its name, and the files to lay over each other.
#[derive(Debug)]
pub(super) struct Found {
    /// Without folder and extension.
    pub(super) name: String,
    /// In order.
    pub(super) files: Vec<PathBuf>,
}

/// `base.conf`, `base.d/*.conf`, `base.local`, `base.d/*.local`: those that are there, in the order of fail2ban.
pub(super) fn layers(base: &Path) -> Result<Vec<PathBuf>, ConfError> {
    let folder = with_suffix(base, ".d");
    let mut files = Vec::new();
    for extension in ["conf", "local"] {
        files.push(with_suffix(base, &format!(".{extension}")));
        files.extend(in_folder(&folder, extension)?);
    }
    files.retain(|file| file.exists());
    Ok(files)
}

/// Finds a filter by name in `folder` (the configuration's, or its `filter.d`), or by path.
///
/// A path outside a folder called `filter.d` is read with its `.local` only, as fail2ban-regex does.
pub(super) fn filter(asked: &str, folder: &Path) -> Result<Found, ConfError> {
    let path = Path::new(asked);
    let known =
        path.extension().is_some_and(|extension| extension == "conf" || extension == "local");
    let base = if known { path.with_extension("") } else { path.to_owned() };
    let name = base.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !asked.contains('/') {
        let folder = if is_filter_folder(folder) { folder } else { &folder.join(FILTER_FOLDER) };
        // `x.conf.conf` may be meant, though it seldom is.
        for base in [folder.join(path), folder.join(&base)] {
            let files = layers(&base)?;
            if !files.is_empty() {
                return Ok(Found { name, files });
            }
        }
        return Err(unknown(asked, folder));
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    let files = match path.is_file() && !is_filter_folder(parent) {
        true => vec![path.to_owned()],
        false => layers(&base)?,
    };
    match files.is_empty() {
        true => Err(unknown(asked, parent)),
        false => Ok(Found { name, files }),
    }
}

/// The text of a file; `None` when it is not there (or a folder), as fail2ban passes over both.
pub(super) fn text(path: &Path) -> Result<Option<String>, ConfError> {
    let unreadable = |why: String| ConfError::Read { path: path.display().to_string(), why };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let kind = file.metadata().map_err(|error| unreadable(error.to_string()))?;
    if kind.is_dir() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let mut bounded = file.take(FILE_BYTES + 1);
    bounded.read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(unreadable(format!("it is longer than {FILE_BYTES} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let place = crate::model::Place::at(
            &path.display().to_string(),
            &String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]),
            error.utf8_error().valid_up_to(),
        );
        ConfError::at(place, "this byte is not UTF-8, and fail2ban reads nothing else; convert the file (iconv -t utf-8)")
    })
}

fn unknown(asked: &str, folder: &Path) -> ConfError {
    let files = in_folder(folder, "conf").unwrap_or_default();
    let names: Vec<_> =
        files.iter().filter_map(|file| Some(file.file_stem()?.to_string_lossy())).collect();
    ConfError::Unknown {
        what: "filter",
        name: asked.to_owned(),
        searched: folder.display().to_string(),
        hint: hint(asked, names.iter().map(AsRef::as_ref)),
    }
}

/// The files of a folder with this extension, sorted; hidden ones are left out, as Python's `glob` does.
fn in_folder(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, ConfError> {
    let unreadable = |error: std::io::Error| ConfError::Read {
        path: folder.display().to_string(),
        why: error.to_string(),
    };
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let text = name.to_string_lossy();
            if !text.starts_with('.') && text.ends_with(&format!(".{extension}")) {
                files.push(folder.join(&name));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_filter_folder(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name == FILTER_FOLDER)
}

fn with_suffix(base: &Path, suffix: &str) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

const FILTER_FOLDER: &str = "filter.d";

/// The largest file that is read.
const FILE_BYTES: u64 = 1 << 20;
