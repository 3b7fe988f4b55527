//! A network of a test's own: only a loopback, on which every port is free, and names that are told in a file.
//!
//! Owns the way in: the test's program is started again in namespaces of its own, for this one test. What the test starts is in there with
//! it, and nobody outside can be reached or clashed with. Never goes on without: where the system allows no namespaces, the test fails.

use std::process::{Command, Stdio};

use tombolo_dev::process::{Scratch, bound, find};
use tombolo_dev::{Outcome, place};

/// Names the test for which we are inside.
const INSIDE: &str = "TOMBOLO_NETWORK";
/// What is done inside before the test begins; the first two arguments are files.
const ENTER: &str = r#"ip link set lo up && mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@""#;

/// Runs `body` in a network in which `hosts` are known: lines of address and names. `test` is the name that the test has for the runner.
pub fn of_its_own(test: &str, hosts: &str, body: impl FnOnce()) -> Outcome<()> {
    if std::env::var(INSIDE).as_deref() != Ok(test) {
        return enter(test, hosts);
    }
    body();
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it is the test's own output, which the runner shows when it is asked to")]
fn enter(test: &str, hosts: &str) -> Outcome<()> {
    let scratch = Scratch::new(&place::scratch()?, "network")?;
    let [names, resolver] = ["hosts", "resolv.conf"].map(|file| scratch.path().join(file));
    std::fs::write(&names, format!("127.0.0.1 localhost\n{hosts}\n"))?;
    std::fs::write(&resolver, "")?;
    let mut command = bound("unshare");
    command.args(namespaces()?).args(["--", "sh", "-c", ENTER, "enter"]).arg(names).arg(resolver);
    command.arg(std::env::current_exe()?).args([test, "--exact", "--nocapture"]).env(INSIDE, test);
    let output = command.stdin(Stdio::null()).output()?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    match output.status.success() && said.contains("1 passed") {
        true => {
            println!("{said}");
            Ok(())
        }
        false => Err(format!("in a network of its own: {}\n{said}", output.status).into()),
    }
}

/// As an administrator, or else as the administrator of a namespace of our own.
fn namespaces() -> Outcome<Vec<&'static str>> {
    find("ip").ok_or("ip (of iproute2) is not installed; `cargo verify` installs it")?;
    let plain = ["--net", "--mount"];
    let mapped = ["--user", "--map-root-user", "--net", "--mount"];
    let works = |ways: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(ways).arg("true").stdin(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let ways = [&plain[..], &mapped[..]].into_iter().find(|ways| works(ways));
    ways.map(<[_]>::to_vec).ok_or_else(|| {
        "the system lets us make no network of the test's own; run the tests as root, or allow user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0)"
            .into()
    })
}
