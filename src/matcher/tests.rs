use super::*;
use crate::filter::Library;

/// A filter of one pattern, from a file of its own.
fn filter(name: &str, programs: &str, regexes: &[&str], ignores: &[&str]) -> Filter {
    let mut text = format!("name = \"{name}\"\ndescription = \"\"\nprograms = {programs}\n");
    for (at, regex) in regexes.iter().enumerate() {
        text += &format!("[[pattern]]\nname = \"p{at}\"\nregex = '''{regex}'''\n");
        text += "hit = [{ line = 'x', ip = \"192.0.2.1\" }]\n";
    }
    for (at, regex) in ignores.iter().enumerate() {
        text += &format!("[[ignore]]\nname = \"i{at}\"\nregex = '''{regex}'''\nhit = ['x']\n");
    }
    let folder = std::env::temp_dir().join(format!("portcullis-matcher-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    Library::default().load(path.to_str().unwrap()).unwrap()
}

fn hits(matcher: &Matcher, program: &[u8], text: &[u8]) -> Vec<(String, String)> {
    let mut scratch = matcher.scratch();
    let mut out = Vec::new();
    matcher.hits(program, text, &mut scratch, |found| {
        let pattern = matcher.pattern_name(found.pattern);
        let name = format!("{}/{pattern}", matcher.filter_name(found.pattern.filter));
        out.push((name, found.offender.to_string()));
    });
    out
}

fn one(name: &str, offender: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), offender.to_owned())]
}

#[test]
fn the_program_routes() {
    let matcher = Matcher::new(&[
        filter("route-a", r#"["a", "b/*/c"]"#, &[r"^from <ip>$"], &[]),
        filter("route-none", r#"["-"]"#, &[r"^from <ip>$"], &[]),
    ])
    .unwrap();
    assert_eq!(hits(&matcher, b"a", b"from 192.0.2.1"), one("route-a/p0", "192.0.2.1"));
    assert_eq!(hits(&matcher, b"/usr/sbin/a", b"from ::1"), one("route-a/p0", "::1"));
    assert_eq!(hits(&matcher, b"b/x/c", b"from ::1"), one("route-a/p0", "::1"));
    assert_eq!(hits(&matcher, b"", b"from ::1"), one("route-none/p0", "::1"));
    for stranger in [&b"aa"[..], b"x/a", b"b/c", b"a\x1ffrom ::2\x1f", b"A"] {
        assert_eq!(hits(&matcher, stranger, b"from ::1"), [], "{stranger:?}");
    }
}

#[test]
fn the_first_pattern_of_a_filter_is_the_hit_and_ignores_excuse() {
    let filters = [filter(
        "order",
        r#"["a"]"#,
        &[r"^from <ip> port \d+$", r"^from <ip>(?: .*)?$"],
        &[r"^from 192\.0\.2\.9.*"],
    )];
    let matcher = Matcher::new(&filters).unwrap();
    assert_eq!(hits(&matcher, b"a", b"from 192.0.2.1 port 22"), one("order/p0", "192.0.2.1"));
    assert_eq!(hits(&matcher, b"a", b"from 192.0.2.1 door 22"), one("order/p1", "192.0.2.1"));
    assert_eq!(hits(&matcher, b"a", b"from 192.0.2.9 port 22"), []);
}

#[test]
fn addresses_are_normal_and_real() {
    let matcher = Matcher::new(&[filter("addr", r#"["a"]"#, &[r"^from <ip>$"], &[])]).unwrap();
    assert_eq!(hits(&matcher, b"a", b"from ::ffff:192.0.2.1"), one("addr/p0", "192.0.2.1"));
    assert_eq!(hits(&matcher, b"a", b"from 2001:DB8:0::1"), one("addr/p0", "2001:db8::1"));
    for wrong in ["999.0.2.1", "1.2.3", "1.2.3.4.5", ":::1", "a.b.c.d", "", "12:34"] {
        assert_eq!(hits(&matcher, b"a", format!("from {wrong}").as_bytes()), [], "{wrong}");
    }
}

#[test]
fn an_address_ends_where_it_ends() {
    let regexes = [r"^from <ip>:? bad$", r"(?U)^of <ip>[\d:.]* bad$"];
    let matcher = Matcher::new(&[filter("ends", r#"["a"]"#, &regexes, &[])]).unwrap();
    for (line, pattern, offender) in [
        ("from 2001:db8::1: bad", "ends/p0", "2001:db8::1"),
        ("from 2001:db8::: bad", "ends/p0", "2001:db8::"),
        ("from ::: bad", "ends/p0", "::"),
        ("from ::ffff:192.0.2.1: bad", "ends/p0", "192.0.2.1"),
        ("from 1:2:3:4:5:6:7:8 bad", "ends/p0", "1:2:3:4:5:6:7:8"),
        ("of 192.0.2.17 bad", "ends/p1", "192.0.2.17"),
        ("of 2001:db8::17 bad", "ends/p1", "2001:db8::17"),
    ] {
        assert_eq!(hits(&matcher, b"a", line.as_bytes()), one(pattern, offender), "{line}");
    }
}

#[test]
fn bytes_that_are_no_text_are_matched() {
    let filters = [filter("bytes", r#"["a"]"#, &[r"^user <user> from <ip>$"], &[])];
    let matcher = Matcher::new(&filters).unwrap();
    let line = b"user \xff\xfe\n\x1f from 192.0.2.1";
    assert_eq!(hits(&matcher, b"a", line), one("bytes/p0", "192.0.2.1"));
}

#[test]
fn no_filter_no_hit() {
    let matcher = Matcher::new(&[]).unwrap();
    assert_eq!(hits(&matcher, b"a", b"from 192.0.2.1"), []);
    assert_eq!(matcher.size(), (0, 0));
}
