//! The filters that ship, as text inside the binary. A test holds the list against `filters/`.

macro_rules! shipped {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../filters/", $name, ".toml")))),*]
    };
}

/// (name, text), sorted by name.
pub(super) const FILTERS: &[(&str, &str)] = shipped! {
    "apache-auth"
    "apache-scan"
    "apc-nmc"
    "arista"
    "aruba-switch"
    "asterisk"
    "brocade-fos"
    "cisco-asa"
    "cisco-asa-deny"
    "cisco-esa"
    "cisco-ios"
    "dovecot"
    "dropbear"
    "exim"
    "fortigate"
    "h3c-comware"
    "hpe-ilo"
    "huawei-vrp"
    "infoblox"
    "junos"
    "mikrotik"
    "mysqld"
    "nginx-http-auth"
    "nginx-limit-req"
    "nginx-scan"
    "openvpn"
    "openvpn-udp"
    "openwrt-luci"
    "paloalto"
    "pam"
    "pfsense-opnsense"
    "postfix"
    "postgresql"
    "proftpd"
    "pure-ftpd"
    "qnap"
    "snmp"
    "sshd"
    "su-sudo"
    "vmware-esxi"
    "vsftpd"
};
