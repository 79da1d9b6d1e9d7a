//! Where filters are found by name: the operator's folders first, then those built in.

use std::path::{Path, PathBuf};

use super::{Filter, FilterError, builtin, native};
use crate::model::likely;

/// The places that are searched for a filter, in this order.
#[derive(Clone, Debug, Default)]
pub struct Library {
    folders: Vec<PathBuf>,
}

impl Library {
    /// `folders` are searched before the built-in filters; one that does not exist is empty.
    pub fn new(folders: Vec<PathBuf>) -> Library {
        Library { folders }
    }

    /// Loads a filter by name, or from a file when `name` has a path separator or ends in `.toml`.
    ///
    /// A file's patterns are proven unambiguous at once; those of the binary are by its own tests,
    /// and by [`Filter::prove_unambiguous`] when somebody asks.
    pub fn load(&self, name: &str) -> Result<Filter, FilterError> {
        if name.contains('/') || name.ends_with(".toml") {
            return from_file(Path::new(name));
        }
        let found = self.folders.iter().map(|folder| folder.join(format!("{name}.toml")));
        if let Some(path) = found.into_iter().find(|path| path.is_file()) {
            return from_file(&path);
        }
        let Some((_, text)) = builtin::FILTERS.iter().find(|(built_in, _)| *built_in == name)
        else {
            return Err(self.unknown(name));
        };
        let filter = native::read(name, &format!("filters/{name}.toml (built in)"), text)?;
        Ok(Filter { is_built_in: true, ..filter })
    }

    /// The names of all filters, the operator's and those built in, sorted.
    pub fn names(&self) -> Result<Vec<String>, FilterError> {
        let mut names: Vec<String> =
            builtin::FILTERS.iter().map(|(name, _)| (*name).to_owned()).collect();
        for folder in self.folders.iter().filter(|folder| folder.is_dir()) {
            let unreadable = |error: std::io::Error| FilterError::Read {
                path: folder.display().to_string(),
                why: error.to_string(),
            };
            for entry in std::fs::read_dir(folder).map_err(unreadable)? {
                let path = entry.map_err(unreadable)?.path();
                if path.extension().is_some_and(|extension| extension == "toml") {
                    names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
                }
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn unknown(&self, name: &str) -> FilterError {
        let mut searched: Vec<_> =
            self.folders.iter().map(|folder| folder.display().to_string()).collect();
        searched.push("the built-in filters".to_owned());
        let names = self.names().unwrap_or_default();
        let hint = likely(name, names.iter().map(String::as_str));
        FilterError::Unknown {
            name: name.to_owned(),
            searched: searched.join(", "),
            hint: hint.map(|hint| format!("; did you mean `{hint}`?")).unwrap_or_default(),
        }
    }
}

fn from_file(path: &Path) -> Result<Filter, FilterError> {
    let origin = path.display().to_string();
    let unreadable = |why: String| FilterError::Read { path: origin.clone(), why };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > MOST_BYTES {
        return Err(unreadable(format!(
            "it is {size} bytes long; a filter has {MOST_BYTES} at most"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let filter = native::read(&name, &origin, &text)?;
    native::unambiguous(&filter)?;
    Ok(filter)
}

/// A filter file is written by hand; above this size it is some other file.
const MOST_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_filter_is_built_in_and_loads() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("filters");
        let mut on_disk: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        on_disk.sort();
        let library = Library::default();
        assert_eq!(library.names().unwrap(), on_disk, "src/filter/builtin.rs lists them");
        for name in on_disk {
            if let Err(error) = library.load(&name) {
                panic!("{error}");
            }
        }
    }

    #[test]
    fn an_unknown_name_gets_a_hint() {
        let said = Library::default().load("sshdd").unwrap_err().to_string();
        assert!(said.contains("did you mean `sshd`?"), "{said}");
    }
}
