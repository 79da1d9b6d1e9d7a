//! What the engines see of a line, built the slow way: rivals and tests need it, the worker has it.

use portcullis::syslog::{Dialect, Message};

/// What the native patterns see: `PROGRAM 0x1F TEXT`, the program without its folder.
pub(crate) fn subject(message: &Message<'_>) -> Vec<u8> {
    [base_name(message.app), &[0x1f], message.text].concat()
}

/// `/usr/sbin/sshd` is `sshd`; `postfix/smtpd` stays.
pub(crate) fn base_name(program: &[u8]) -> &[u8] {
    match program.first() {
        Some(b'/') => program.rsplit(|byte| *byte == b'/').next().unwrap_or(program),
        _ => program,
    }
}

/// What fail2ban's patterns see: the line as a log file has it, less its date.
pub(crate) fn view(line: &[u8], message: &Message<'_>) -> Vec<u8> {
    if message.dialect == Dialect::Rfc5424 {
        let host = if message.hostname.is_empty() { b"-" } else { message.hostname };
        let pid = match message.procid {
            [] => Vec::new(),
            pid => [b"[", pid, b"]"].concat(),
        };
        let tag = match message.app {
            [] => Vec::new(),
            app => [b" ", app, &pid, b":"].concat(),
        };
        return [b" ", host, &tag, b" ", message.text].concat();
    }
    let offset = |part: &[u8]| part.as_ptr() as usize - line.as_ptr() as usize;
    let end = offset(message.text) + message.text.len();
    let start = match (message.stamp, message.priority) {
        ([], None) => 0,
        ([], Some(_)) => line.iter().position(|byte| *byte == b'>').map_or(0, |at| at + 1),
        (stamp, _) => offset(stamp) + stamp.len(),
    };
    line[start.min(end)..end].to_vec()
}
