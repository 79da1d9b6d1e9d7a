//! The filters that ship, as text inside the binary. A test holds the list against `filters/`.

macro_rules! shipped {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../filters/", $name, ".toml")))),*]
    };
}

/// (name, text), sorted by name.
pub(super) const FILTERS: &[(&str, &str)] = shipped! {

};
