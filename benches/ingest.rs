//! What the daemon spends on a line that comes over loopback, beside a bare receiver that only counts.
//!
//!     cargo bench --bench ingest
//!
//! `../shared/tools/blast.c` sends, `../shared/tools/sink.c` is the rival: the same `recvmmsg` and
//! the same buffer, and nothing is done with the lines. So the ratio is the price of parsing,
//! matching and deciding, in units of mere receiving. Daemon and sink take turns in one run, medians
//! are shown. The daemon is the real one, with all filters, one worker and nothing to enforce with.
//! For UDP every line is accounted for: sent = received + dropped, exactly, or the bench fails.
//! PORTCULLIS_BENCH_LINES and PORTCULLIS_BENCH_ROUNDS change the size.

#[expect(dead_code, reason = "the other benches use the rest")]
mod measure;
#[expect(dead_code, reason = "the other benches use the rest")]
mod traffic;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use measure::setting;
use portcullis::control::{Client, Request, Response, Status};
use traffic::{Generator, shipped};

fn main() -> ExitCode {
    let tools = match Tools::build() {
        Ok(tools) => tools,
        Err(why) => {
            eprintln!("the ingest bench cannot run: {why}");
            return ExitCode::FAILURE;
        }
    };
    let lines = setting("PORTCULLIS_BENCH_LINES", 500_000);
    let rounds = setting("PORTCULLIS_BENCH_ROUNDS", 5);
    let file = tools.folder.join("traffic.log");
    let log = write_log(&file);
    let daemon = Daemon::start(&tools.folder);
    measure::head();
    println!(
        "log       {} lines over and over, {} bytes a line, {:.1} % hits",
        log.0,
        log.1 / log.0,
        log.2 as f64 * 100.0 / log.0 as f64
    );
    println!("filters   {}", daemon.filters);
    println!("measured  medians of {rounds} rounds of {lines} lines; CPU of the whole process\n");
    for way in [&WAYS[0], &WAYS[2]] {
        daemon.take(&tools, way, &file, lines); // warms up
    }
    println!(
        "{:<22} {:>8} {:>8} {:>7} {:>11} {:>11} {:>9} {:>9}",
        "", "ns/line", "sink", "ratio", "lines/s", "sink's", "lost", "sink's"
    );
    for way in &WAYS {
        let (mut ours, mut sinks) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            sinks.push(tools.sink(way, &file, lines));
            ours.push(daemon.take(&tools, way, &file, lines));
        }
        let [us, sink] = [&ours, &sinks].map(|runs| {
            let median = |of: fn(&Run) -> f64| measure::median(runs.iter().map(of).collect());
            (median(|run| run.cpu), median(|run| run.rate), median(|run| run.lost))
        });
        println!(
            "{:<22} {:>8.0} {:>8.0} {:>6.1}x {:>11.0} {:>11.0} {:>8.2}% {:>8.2}%",
            way.name,
            us.0,
            sink.0,
            us.0 / sink.0,
            us.1,
            sink.1,
            us.2 * 100.0,
            sink.2 * 100.0
        );
    }
    println!("\nns/line is CPU time for each line received; lines/s is received in wall time.");
    daemon.print_threads();
    ExitCode::SUCCESS
}

/// A way for lines to come in.
struct Way {
    name: &'static str,
    /// As `blast` calls it.
    protocol: &'static str,
    /// Lines a second; 0 is as fast as it goes.
    rate: u32,
}

const WAYS: [Way; 4] = [
    Way { name: "udp, 150 000 lines/s", protocol: "udp", rate: 150_000 },
    Way { name: "udp, full rate", protocol: "udp", rate: 0 },
    Way { name: "tcp, LF", protocol: "tcp", rate: 0 },
    Way { name: "tcp, octet-counted", protocol: "tcp-octet", rate: 0 },
];

impl Way {
    fn is_udp(&self) -> bool {
        self.protocol == "udp"
    }
}

/// What one sending of lines came to.
struct Run {
    /// CPU nanoseconds for each line received.
    cpu: f64,
    /// Lines received a second.
    rate: f64,
    /// Share of the lines sent that was lost.
    lost: f64,
}

/// `blast` and `sink`, compiled.
struct Tools {
    folder: PathBuf,
}

impl Tools {
    fn build() -> Result<Tools, String> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools");
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ingest");
        fs::create_dir_all(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
        for tool in ["blast", "sink"] {
            let source = sources.join(tool).with_extension("c");
            if !source.is_file() {
                return Err(format!(
                    "{} is not there; it is no part of this repository",
                    source.display()
                ));
            }
            let compiled = Command::new("cc")
                .arg("-O2")
                .arg("-o")
                .arg(folder.join(tool))
                .arg(&source)
                .status();
            match compiled {
                Ok(status) if status.success() => {}
                Ok(status) => return Err(format!("cc {}: {status}", source.display())),
                Err(why) => return Err(format!("cc, the C compiler: {why}")),
            }
        }
        Ok(Tools { folder })
    }

    /// Sends; how long it took.
    fn blast(&self, way: &Way, port: u16, file: &Path, lines: usize) -> Duration {
        let start = Instant::now();
        let output = Command::new(self.folder.join("blast"))
            .args([way.protocol, &port.to_string()])
            .arg(file)
            .args([lines.to_string(), way.rate.to_string()])
            .output()
            .expect("blast runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with(&format!("sent {lines} lines")), "blast: {said} {output:?}");
        start.elapsed()
    }

    /// One sending to a sink of its own, which ends by itself 2 s after the last datagram.
    fn sink(&self, way: &Way, file: &Path, lines: usize) -> Run {
        let kind = if way.is_udp() { "udp" } else { "tcp" };
        let port = free_port(way);
        let sink = Command::new(self.folder.join("sink"))
            .args([kind, &port.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("sink runs");
        wait_until_bound(kind, port);
        let took = self.blast(way, port, file, lines).as_secs_f64();
        let output = sink.wait_with_output().expect("sink ends");
        // received N lines M bytes cpu S s = …
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let words: Vec<&str> = said.split_whitespace().collect();
        let number = |at: usize| -> f64 { words[at].parse().expect("a number of sink") };
        // It counts LF in streams, and octet-counted ones have none.
        let received = if way.is_udp() { number(1) } else { lines as f64 };
        Run {
            cpu: number(6) * 1e9 / received,
            rate: received / took,
            lost: 1.0 - received / lines as f64,
        }
    }
}

/// The real daemon, with a folder and ports of its own.
struct Daemon {
    child: Child,
    control: PathBuf,
    udp: u16,
    tcp: u16,
    filters: String,
}

impl Daemon {
    fn start(folder: &Path) -> Daemon {
        // A socket's path is short (unix(7): 108 bytes); a target folder's may not be.
        let control =
            std::env::temp_dir().join(format!("portcullis-ingest-{}.sock", std::process::id()));
        let config = folder.join("portcullis.toml");
        let text = format!(
            "[server]\nworkers = 1\nstate = \"\"\ncontrol = {:?}\nfilters = []\n\
             [[listen]]\nprotocol = \"udp\"\naddress = \"127.0.0.1:0\"\n\
             [[listen]]\nprotocol = \"tcp\"\naddress = \"127.0.0.1:0\"\n\
             [firewall]\nbackend = \"observe\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n",
            control.display()
        );
        fs::write(&config, text).expect("the target folder can be written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["run", "--config"])
            .arg(&config)
            .env("PORTCULLIS_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the daemon runs");
        let (mut udp, mut tcp, mut filters) = (None, None, None);
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        for line in output.lines().map_while(Result::ok) {
            let mut words = line.split_whitespace().skip_while(|word| *word == "listening");
            let port = |words: &mut dyn Iterator<Item = &str>| {
                words.next()?.rsplit(':').next()?.parse().ok()
            };
            match words.next() {
                Some("udp") => udp = port(&mut words),
                Some("tcp") => tcp = port(&mut words),
                Some("filters") => filters = Some(words.collect::<Vec<_>>().join(" ")),
                Some("firewall") => break,
                _ => {}
            }
        }
        let (Some(udp), Some(tcp), Some(filters)) = (udp, tcp, filters) else {
            _ = child.kill();
            panic!("the daemon did not start; what it says stands above");
        };
        Daemon { child, control, udp, tcp, filters }
    }

    /// One sending to the daemon, until it has taken or lost every line.
    fn take(&self, tools: &Tools, way: &Way, file: &Path, lines: usize) -> Run {
        let count = |status: &Status| match way.protocol {
            "udp" => status.counts["received_udp"],
            _ => status.counts["received_tcp"],
        };
        let dropped =
            |status: &Status| status.listeners.iter().filter_map(|it| it.dropped).sum::<u64>();
        let before = self.status();
        let cpu = self.cpu_seconds();
        let start = Instant::now();
        let port = if way.is_udp() { self.udp } else { self.tcp };
        let mut took = tools.blast(way, port, file, lines);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            let received = count(&status) - count(&before);
            let lost = dropped(&status) - dropped(&before);
            if !way.is_udp() {
                took = start.elapsed();
            }
            if received + lost == lines as u64 {
                let cpu = (self.cpu_seconds() - cpu) * 1e9 / received as f64;
                let rate = received as f64 / took.as_secs_f64();
                return Run { cpu, rate, lost: lost as f64 / lines as f64 };
            }
            let sum = format!("{lines} sent, {received} received, {lost} dropped");
            assert!(received + lost < lines as u64, "too many: {sum}");
            assert!(Instant::now() < deadline, "lines are unaccounted for: {sum}");
            sleep(Duration::from_millis(10));
        }
    }

    fn status(&self) -> Status {
        let mut client = Client::connect(&self.control).expect("the daemon answers");
        match client.ask(&Request::Status).expect("the daemon answers") {
            Response::Status(status) => *status,
            other => panic!("the daemon answers something else: {other:?}"),
        }
    }

    fn cpu_seconds(&self) -> f64 {
        ticks(&format!("/proc/{}/stat", self.child.id())) / TICKS
    }

    /// Where the daemon's own CPU time went.
    fn print_threads(&self) {
        let mut threads: Vec<(String, f64)> =
            fs::read_dir(format!("/proc/{}/task", self.child.id()))
                .expect("the daemon is alive")
                .filter_map(Result::ok)
                .map(|task| {
                    let read =
                        |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
                    let time = ticks(&task.path().join("stat").to_string_lossy());
                    (read("comm").trim().to_owned(), time)
                })
                .collect();
        threads.sort_by(|a, b| b.1.total_cmp(&a.1));
        let all: f64 = threads.iter().map(|it| it.1).sum();
        let shares: Vec<_> = threads
            .iter()
            .filter(|it| it.1 > all / 200.0)
            .map(|(name, time)| format!("{name} {:.0} %", time * 100.0 / all))
            .collect();
        println!("The daemon's threads, over all of this: {}.", shares.join(", "));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = fs::remove_file(&self.control);
    }
}

/// utime and stime, fields 14 and 15 of proc_pid_stat(5), in clock ticks.
fn ticks(path: &str) -> f64 {
    let stat = fs::read_to_string(path).unwrap_or_default();
    // The second field is a name in parentheses, and may hold spaces.
    let behind = stat.rsplit(") ").next().unwrap_or_default();
    behind.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum()
}

/// Writes the lines that are sent: how many, their bytes, and the hits among them.
fn write_log(path: &Path) -> (usize, usize, usize) {
    let mut filters = shipped();
    filters.retain(|filter| !filter.opt_in);
    let log = Generator::new(&filters).log(100_000, 6, 5);
    let text = log.lines().collect::<Vec<_>>().join(&b'\n');
    fs::write(path, text).expect("the target folder can be written");
    (log.len(), log.size(), log.hits)
}

/// A port that nobody has now. (Nobody else picks it in the moment before sink binds it: the kernel
/// hands out others first.)
fn free_port(way: &Way) -> u16 {
    let address = if way.is_udp() {
        UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr())
    } else {
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr())
    };
    address.expect("loopback has a free port").port()
}

/// Waits until `/proc/net/udp` or `tcp` shows the port, as sink says nothing.
fn wait_until_bound(kind: &str, port: u16) {
    let local = format!(": 0100007F:{port:04X} ");
    let deadline = Instant::now() + PATIENCE;
    let table = format!("/proc/net/{kind}");
    while !fs::read_to_string(&table).unwrap_or_default().contains(&local) {
        assert!(Instant::now() < deadline, "sink did not bind {kind} {port}");
        sleep(Duration::from_millis(2));
    }
}

/// USER_HZ of every Linux there is (time(7)).
const TICKS: f64 = 100.0;

/// For what takes moments.
const PATIENCE: Duration = Duration::from_secs(20);
