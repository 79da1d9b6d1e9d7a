//! Which keys this version of Portcullis knows, of those that a migrated configuration can hold.
//!
//! The other keys are written as comments, so that the result passes `portcullis check` today. When
//! a version learns a key, its line here changes from `false` to `true`; a test says so.

/// Whether this version knows a table (`file`) or a key in it (`jail.scope`).
pub(super) fn is_known(key: &str) -> bool {
    KEYS.iter().any(|(name, _, known)| *name == key && *known)
}

/// The key, a value for the test, and whether this version knows it. `jail` stands for `[defaults]`
/// and `[jail.*]`; a key of a table that is not known is not known either.
const KEYS: &[(&str, &str, bool)] = &[
    ("server", "", true),
    ("server.fail2ban_filters", "\"/etc/fail2ban/filter.d\"", true),
    ("jail", "", true),
    ("jail.filter", "\"sshd\"", true),
    ("jail.programs", "[\"nginx\"]", true),
    ("jail.enabled", "false", true),
    ("jail.maxretry", "3", true),
    ("jail.findtime", "\"10m\"", true),
    ("jail.bantime", "\"1h\"", true),
    ("jail.kind", "\"recidive\"", true),
    ("jail.scope", "\"gateway\"", true),
    ("jail.ports", "[\"22\"]", true),
    ("jail.actions", "[\"firewall\"]", false),
    ("jail.bantime_increment", "true", true),
    ("jail.bantime_factor", "1", true),
    ("jail.bantime_multipliers", "[1, 2]", true),
    ("jail.bantime_max", "\"5w\"", true),
    ("jail.bantime_jitter", "\"30s\"", true),
    ("jail.bantime_overalljails", "true", true),
    ("never_ban", "", true),
    ("never_ban.addresses", "[\"192.0.2.1\"]", true),
    ("never_ban.names", "[\"admin.example.net\"]", true),
    ("never_ban.command", "[\"/bin/false\"]", true),
    ("firewall", "", true),
    ("firewall.verdict", "\"drop\"", true),
    ("file", "", false),
    ("file.paths", "[\"/var/log/auth.log\"]", false),
    ("journal", "", false),
    ("journal.enabled", "true", false),
    ("action", "", false),
    ("action.kind", "\"command\"", false),
    ("action.command", "[\"/bin/true\"]", false),
    ("action.from", "\"root@localhost\"", false),
    ("action.to", "[\"root@localhost\"]", false),
    ("action.at_least", "1", false),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// The key alone, in a configuration that is good but for it.
    fn text(key: &str, value: &str) -> String {
        let (table, key) = key.split_once('.').unwrap_or((key, ""));
        let header = match table {
            "jail" => "[jail.x]\nenabled = false\n".replace(
                "enabled = false\n",
                match key {
                    "enabled" => "",
                    _ => "enabled = false\n",
                },
            ),
            "file" => "[[file]]\n".to_owned(),
            "action" => "[action.x]\n".to_owned(),
            table => format!("[{table}]\n"),
        };
        match key {
            "" => header,
            key => format!("{header}{key} = {value}\n"),
        }
    }

    #[test]
    fn the_table_says_what_the_configuration_says() {
        let folder = std::env::temp_dir().join(format!("portcullis-known-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("portcullis.toml");
        let mut wrong = Vec::new();
        for (key, value, known) in KEYS {
            std::fs::write(&path, text(key, value)).unwrap();
            let refused = match config::load(Some(&path)) {
                Ok(_) => false,
                Err(error) => error.to_string().contains("unknown field"),
            };
            if refused == *known {
                wrong.push(format!("(\"{key}\", …, {known}) is now {}", !known));
            }
        }
        _ = std::fs::remove_dir_all(&folder);
        assert!(wrong.is_empty(), "change these lines of KEYS:\n{}", wrong.join("\n"));
    }
}
