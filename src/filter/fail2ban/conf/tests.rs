//! The rules of the dialect, one test each, on files of our own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A folder of its own, gone with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("f2b-conf-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Folder(std::env::temp_dir().join(name));
        for (file, text) in files {
            let path = folder.0.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    /// One filter `f`, of this text.
    fn filter(text: &str) -> Folder {
        Folder::new(&[("filter.d/f.conf", text)])
    }

    fn load(&self, options: &[(&str, &str)]) -> Result<Definition, ConfError> {
        let options: Vec<_> =
            options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        filter("f", &self.0, &options)
    }

    fn fails(&self, options: &[(&str, &str)]) -> Vec<String> {
        self.load(options).unwrap().failregex.into_iter().map(|line| line.text).collect()
    }

    fn problem(&self) -> String {
        let problem = self.load(&[]).unwrap_err().to_string();
        problem.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn at(line: &Located) -> String {
    let file = Path::new(&line.place.origin).file_name().unwrap_or_default().to_string_lossy();
    format!("{file}:{}:{}", line.place.line, line.place.column)
}

#[test]
fn every_line_of_a_list_is_a_regex_with_its_place() {
    let folder = Folder::filter(
        "[Definition]\nprefix = ^pre\nmore = ^m1$\n    ^m2$\nfailregex = %(prefix)s a\n\n  # no\n   %(more)s\n   <more>!\n  ^<HOST>%%\n\
         ignoreregex =\n",
    );
    let filter = folder.load(&[]).unwrap();
    let lines: Vec<_> =
        filter.failregex.iter().map(|line| format!("{} {}", at(line), line.text)).collect();
    let wanted = ["5:13 ^pre a", "3:8 ^m1$", "4:5 ^m2$", "3:8 ^m1$", "9:4 ^m2$!", "10:3 ^<HOST>%"];
    assert_eq!(lines, wanted.map(|line| format!("f.conf:{line}")));
    assert!(filter.ignoreregex.is_empty());
    assert_eq!((filter.maxlines, filter.logtype.as_str()), (1, "file"));
}

#[test]
fn later_files_lie_over_earlier_ones_and_know_them() {
    let folder = Folder::new(&[
        (
            "filter.d/f.conf",
            "[INCLUDES]\nbefore = b.conf\nafter = a.conf\n[Definition]\nx = conf\ny = conf\nz = conf\n",
        ),
        (
            "filter.d/b.conf",
            "[Definition]\nx = before\nfailregex = <x> <y> <z> <w>\n[DEFAULT]\nw = b\n",
        ),
        ("filter.d/b.local", "[DEFAULT]\nw = b-local\n"),
        ("filter.d/a.conf", "[Definition]\nz = after %(known/z)s\n"),
        ("filter.d/f.d/1.conf", "[Definition]\ny = one\n"),
        ("filter.d/f.d/2.conf", "[Definition]\ny = two\n"),
        ("filter.d/f.d/.3.conf", "[Definition]\ny = hidden\n"),
        ("filter.d/f.local", "[Definition]\ny = local <known/y>\n"),
    ]);
    assert_eq!(folder.fails(&[]), ["conf local two after conf b-local"]);
}

#[test]
fn an_include_that_is_not_there_or_runs_in_a_circle_is_remarked() {
    let folder = Folder::new(&[
        (
            "filter.d/f.conf",
            "[INCLUDES]\nbefore = g.conf\n\n  no.conf\n  no.local\n[Definition]\nfailregex = a\n",
        ),
        ("filter.d/g.conf", "[INCLUDES]\nafter = f.conf\n"),
    ]);
    let filter = folder.load(&[]).unwrap();
    let remarks: Vec<_> =
        filter.remarks.iter().map(|line| format!("{} {}", at(line), line.text)).collect();
    assert_eq!(remarks.len(), 2, "{remarks:?}");
    assert!(remarks[0].starts_with("g.conf:2:9 `f.conf` includes this file"), "{remarks:?}");
    assert!(remarks[1].starts_with("f.conf:4:3 `no.conf` is not there"), "{remarks:?}");
    let deep: Vec<_> = (0..30)
        .map(|n| {
            let name = if n == 0 { "f".to_owned() } else { n.to_string() };
            (format!("filter.d/{name}.conf"), format!("[INCLUDES]\nbefore = {}.conf\n", n + 1))
        })
        .collect();
    let deep: Vec<_> = deep.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
    assert!(Folder::new(&deep).problem().contains("past 20 levels"));
}

#[test]
fn options_go_before_definition_and_init() {
    let folder = Folder::filter(
        "[Definition]\nfailregex = %(a)s <a> <b> <known/b> %(b)s\na = def\nb = def\n[Init]\na = init\nb = init\n",
    );
    // `%(…)s` does not see [Init]; a tag does.
    assert_eq!(folder.fails(&[]), ["def init init init def"]);
    assert_eq!(folder.fails(&[("a", "1"), ("b", "2")]), ["1 1 2 init 2"]);
    assert_eq!(folder.fails(&[("A", "1")]), ["1 init init init def"], "tags are not case-blind");
    assert_eq!(folder.fails(&[("failregex", "own <a>\n%%\n")]), ["own init", "%%"]);
}

#[test]
fn the_log_type_is_the_backends_unless_given_or_defined() {
    let text = "[lt_file]\np = F\n[lt_journal]\np = J\n[DEFAULT]\nlogtype = rfc5424\n[Definition]\nfailregex = <lt_<logtype>/p> %(logtype)s\n";
    let folder = Folder::filter(text);
    assert_eq!(folder.fails(&[]), ["F file"]);
    assert_eq!(folder.fails(&[("logtype", "")]), ["F file"]);
    assert_eq!(folder.fails(&[("logtype", "journal")]), ["J journal"]);
    let journal = filter_for("f", &folder.0, &[], Backend::Journal).unwrap();
    assert_eq!(
        (journal.failregex[0].text.as_str(), journal.logtype.as_str()),
        ("J journal", "journal")
    );
    let own = Folder::filter(&text.replace("failregex", "logtype = journal\nfailregex"));
    assert_eq!(own.load(&[]).unwrap().logtype, "journal");
}

#[test]
fn names_of_other_sections() {
    let folder = Folder::filter(
        "[DEFAULT]\nd = dee\n[Definition]\nh = H\nfailregex = %(low/x)s %(low/d)s %(default/d)s %(known/d)s %(__name__)s <Up/X> <DEFAULT/D> <low/none> <host> <HOST>\n\
         [low]\nx = %(h)s\n[Up]\nx = up\n",
    );
    assert_eq!(folder.fails(&[]), ["H dee dee dee Definition up dee <low/none> <host> <HOST>"]);
    // A tag is never special: an option of that name takes its place.
    assert_eq!(folder.fails(&[("host", "mine")])[0].split(' ').next_back(), Some("mine"));
    let upper = Folder::filter("[Definition]\nfailregex = %(Up/x)s\n[Up]\nx = 1\n").problem();
    assert!(
        upper.contains("f.conf:2:13: no option `Up/x`") && upper.contains("lower-case"),
        "{upper}"
    );
    let gone =
        Folder::filter("[Definition]\nfailregex = a %(gone/x)s\n[DEFAULT]\nx = 1\n").problem();
    assert!(
        gone.contains("f.conf:2:15: no option `gone/x`"),
        "a section that is not there: {gone}"
    );
}

#[test]
fn percent_signs_that_python_refuses() {
    for (value, column) in [("a % b", 15), ("%", 13), ("é%(x", 14), ("%(x)d", 13), ("%()s", 13)] {
        let problem = Folder::filter(&format!("[Definition]\nfailregex = {value}\n")).problem();
        assert!(
            problem.starts_with(&format!("filter.d/f.conf:2:{column}: ")),
            "{value}: {problem}"
        );
        assert!(problem.contains("write `%%`"), "{value}: {problem}");
    }
    let missing =
        Folder::filter("[Definition]\nfailregex = b\n  a%(_demon)s\n_daemon = x\n").problem();
    assert!(missing.starts_with("filter.d/f.conf:3:4: no option `_demon`"), "{missing}");
    assert!(missing.ends_with("did you mean `_daemon`?"), "{missing}");
}

#[test]
fn circles_and_depth() {
    let chain = |steps: u32, end: &str| {
        let mut text = "[Definition]\nfailregex = %(a1)s\n".to_owned();
        for step in 1..steps {
            text += &format!("a{step} = %(a{})s\n", step + 1);
        }
        Folder::filter(&format!("{text}a{steps} = {end}\n"))
    };
    assert_eq!(chain(10, "end").fails(&[]), ["end"]);
    assert_eq!(chain(9, "%%").fails(&[]), ["%"]);
    assert!(chain(10, "%%").problem().contains("more than 10 deep"));
    assert!(chain(3, "%(a1)s").problem().contains("in a circle"));
    let tags = Folder::filter("[Definition]\nfailregex = <a>\na = <b>\nb = <a>\n[Init]\na = <b>\n");
    assert!(tags.problem().contains("f.conf:"), "{}", tags.problem());
}

#[test]
fn work_and_length_are_bounded() {
    let mut empty = "[Definition]\nfailregex = %(a1)s\na9 = %(z)s\nz =\n".to_owned();
    let mut long = format!("[Definition]\nfailregex = %(a1)s\na9 = {}\n", "x".repeat(1000));
    for step in 1..9 {
        let next = format!("%(a{})s", step + 1).repeat(100);
        empty += &format!("a{step} = {next}\n");
        long += &format!("a{step} = {next}\n");
    }
    assert!(Folder::filter(&empty).problem().contains("given up"));
    assert!(Folder::filter(&long).problem().contains("grows past 1048576 bytes"));
    let large = format!("[Definition]\nfailregex = a\n{}", "#\n".repeat(600_000));
    assert!(Folder::filter(&large).problem().contains("longer than 1048576 bytes"));
}

#[test]
fn numbers_and_empty_values() {
    let with = |value: &str| Folder::filter(&format!("[Definition]\nmaxlines = {value}\n"));
    assert_eq!(with("<n>\n[Init]\nn = 1_0").load(&[]).unwrap().maxlines, 10);
    let wrong = with("ten").load(&[]).unwrap();
    assert_eq!((wrong.maxlines, at(&wrong.remarks[0]).as_str()), (1, "f.conf:2:12"));
    assert!(with("0").problem().starts_with("filter.d/f.conf:2:12: maxlines is 0"));
    let empty = Folder::filter("[Definition]\nprefregex =\ndatepattern =\n").load(&[]).unwrap();
    assert_eq!(empty.prefregex, None);
    let date = empty.datepattern.unwrap();
    assert_eq!((date.text.as_str(), at(&date).as_str()), ("", "f.conf:3:14"));
}

#[test]
fn the_rest_is_resolved_and_harms_nothing() {
    let folder = Folder::filter(
        "[Definition]\nfailregex = a\nmode = x<k>\nusedns = no\njournalmatch = A=1\n  B=2\n[Init]\nk = 1\n[Init?f=6]\nk = 6\nq = <k>\n",
    );
    let filter = folder.load(&[("own", "<mode>")]).unwrap();
    assert_eq!(filter.journalmatch.as_deref(), Some("A=1\nB=2"));
    let rest: Vec<_> = filter.rest.iter().map(|(name, value)| format!("{name}={value}")).collect();
    // `k` has a conditional twin, so it is not put in.
    assert_eq!(
        rest,
        ["k=1", "k?f=6=6", "logtype=file", "mode=x<k>", "own=x<k>", "q?f=6=<k>", "usedns=no"]
    );
    let broken =
        Folder::filter("[Definition]\nfailregex = a\nunused = %(nope)s\n").load(&[]).unwrap();
    assert!(broken.remarks[0].text.contains("no option `nope`"));
    assert_eq!(broken.failregex.len(), 1);
}

#[test]
fn filters_are_found_by_name_and_by_path() {
    let folder = Folder::new(&[
        ("filter.d/f.conf", "[Definition]\nfailregex = a\n"),
        ("filter.d/f.d/x.conf", "[Definition]\nfailregex = b\n"),
        ("filter.d/only.local", "[Definition]\nfailregex = c\n"),
        ("else/f.conf", "[Definition]\nfailregex = d\n"),
        ("else/f.local", "[Definition]\nfailregex = e\n"),
        ("else/f.d/x.conf", "[Definition]\nfailregex = not read\n"),
        ("filter.d/none.conf", "[definition]\nfailregex = a\n"),
        ("filter.d/latin.conf", "[Definition]\nx = a\n"),
    ]);
    std::fs::write(folder.0.join("filter.d/latin.conf"), b"[Definition]\nx = \xe9\n").unwrap();
    let first = |name: &str, within: &Path| {
        let filter = filter(name, within, &[])?;
        Ok::<_, ConfError>(format!("{} {}", filter.name, filter.failregex[0].text))
    };
    let path = |name: &str| folder.0.join(name).display().to_string();
    assert_eq!(first("f", &folder.0).unwrap(), "f b");
    assert_eq!(first("f.conf", &folder.0.join("filter.d")).unwrap(), "f b");
    assert_eq!(first("only", &folder.0).unwrap(), "only c");
    assert_eq!(first(&path("filter.d/f.conf"), Path::new("/")).unwrap(), "f b");
    assert_eq!(first(&path("filter.d/f"), Path::new("/")).unwrap(), "f b");
    assert_eq!(first(&path("else/f.conf"), Path::new("/")).unwrap(), "f e");
    let unknown = first("nonne", &folder.0).unwrap_err().to_string();
    assert!(unknown.ends_with("did you mean `none`?"), "{unknown}");
    let lower = first("none", &folder.0).unwrap_err().to_string();
    assert!(lower.ends_with("no section [Definition]; did you mean `definition`?"), "{lower}");
    let latin = first("latin", &folder.0).unwrap_err().to_string();
    assert!(latin.contains("latin.conf:2:5: this byte is not UTF-8"), "{latin}");
}

#[test]
fn jails_lie_over_each_other_in_fail2bans_order() {
    let folder = Folder::new(&[
        (
            "jail.conf",
            "[INCLUDES]\nbefore = paths.conf\n[DEFAULT]\nfilter = %(__name__)s[mode=%(mode)s]\nmode = m\n[f]\nport = 1\n[g]\n",
        ),
        ("paths.conf", "[DEFAULT]\nlog = /l\nport = 9\n"),
        ("jail.d/b.conf", "[f]\nport = %(known/port)s,2\nlogpath = %(log)s/x\n  %(log)s/y\n"),
        ("jail.d/a.conf", "[f]\nport = a\n"),
        ("jail.local", "[f]\nmode = l\n[g]\nmode = %(nope)s\n"),
        ("jail.d/z.local", "[h]\nmode = z %(fail2ban_version)s\n"),
    ]);
    let conf = Conf::jails(&folder.0).unwrap();
    assert_eq!(conf.sections(), ["f", "g", "h"]);
    assert_eq!(conf.options("f"), ["port", "logpath", "mode"]);
    let get = |jail: &str, option: &str| conf.get(jail, option).unwrap().map(|it| it.text);
    assert_eq!(get("f", "port").unwrap(), "a,2");
    assert_eq!(get("f", "Filter").unwrap(), "f[mode=l]");
    assert_eq!(get("h", "filter").unwrap(), "h[mode=z 1.0.2]");
    assert_eq!(get("g", "port").unwrap(), "9");
    assert_eq!((get("g", "none"), get("none", "port")), (None, None));
    assert_eq!(at(&conf.get("f", "logpath").unwrap().unwrap()), "b.conf:3:11");
    let problem = conf.get("g", "filter").unwrap_err().to_string();
    assert!(problem.contains("jail.local:4:8: no option `nope`"), "{problem}");
    assert!(Conf::jails(&folder.0.join("jail.d")).is_err());
}

#[test]
fn a_jail_knows_its_filter_and_lies_over_it() {
    let folder = Folder::new(&[
        (
            "filter.d/f.conf",
            "[Definition]\nfailregex = ^<m> %(i)s <maxretry>$\ni = def\ndatepattern = D\nignoreregex = ^i$\n[Init]\ni = init\nm = M\n",
        ),
        (
            "jail.conf",
            "[j]\nfilter = f[m=X]\nmaxretry = 05\n[k]\nfilter = f\nfailregex = %(known/failregex)s\n   ^jail <m>$\nmaxlines = 4\n[l]\nfilter = f[\n[m]\n",
        ),
    ]);
    let mut conf = Conf::jails(&folder.0).unwrap();
    let mut load = |jail: &str| filter_of_jail(&mut conf, &folder.0, jail);
    let texts = |lines: &[Located]| lines.iter().map(|it| it.text.clone()).collect::<Vec<_>>();
    // Read twice, the second time with [Init] and the jail in view.
    let plain = load("j").unwrap().unwrap();
    assert_eq!(texts(&plain.failregex), ["^X init <maxretry>$"]);
    let over = load("k").unwrap().unwrap();
    assert_eq!(texts(&over.failregex), ["^M def <maxretry>$", "^jail <m>$"]);
    assert_eq!((over.maxlines, texts(&over.ignoreregex)), (4, vec!["^i$".to_owned()]));
    let wrong = load("l").unwrap_err().to_string();
    assert!(wrong.contains("jail.conf:10:10: filter: `f[`, character 3"), "{wrong}");
    assert_eq!(load("m").unwrap(), None);
}
