//! A foreign oneM2M CSE: ACME on a free loopback port, and other AEs at it that speak HTTP as TS-0009 has it.
//!
//! Owns the CSE's configuration and files, which outlive a crash of it. Nothing here knows what the plugin under test does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tombolo_dev::process::{Process, Scratch, bound, free_port};
use tombolo_dev::{Outcome, place};

/// How long the CSE may take to be of use, on a loaded machine.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// Between two looks at a CSE that starts.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// For one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Who may do everything.
const ADMIN: &str = "CAdmin";

/// A running CSE; its CSEBase is `cse-in`.
pub struct Acme {
    /// Of its HTTP binding; the same again after a restart.
    pub port: u16,
    process: Process,
    scratch: Scratch,
}

impl Acme {
    /// Starts one, with a policy `cse-in/open` that lets everybody do everything where it is linked to.
    pub fn start(parent: &Path) -> Outcome<Self> {
        let scratch = Scratch::new(parent, "acme")?;
        let port = free_port()?;
        std::fs::write(scratch.path().join("acme.ini"), configuration(port))?;
        let process = launch(scratch.path())?;
        let acme = Self { port, process, scratch };
        acme.await_up()?;
        let open = json!({"m2m:acp": {"rn": "open", "pv": {"acr": [{"acor": ["all"], "acop": 63}]},
            "pvs": {"acr": [{"acor": [ADMIN], "acop": 63}]}}});
        acme.create(ADMIN, "cse-in", 1, &open)?;
        Ok(acme)
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with what it had.
    pub fn start_again(&mut self) -> Outcome<()> {
        self.process = launch(self.scratch.path())?;
        self.await_up()
    }

    fn await_up(&self) -> Outcome<()> {
        let deadline = Instant::now() + UP_WITHIN;
        loop {
            let answer = self.request(ADMIN, "GET", "cse-in", None, None);
            if answer.is_ok_and(|(code, _)| code == 2000) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the CSE did not come up: {:?}", self.process.lines.all()).into());
            }
            self.process.lines.wait_from(self.process.lines.count(), LOOK_EVERY, |_| false);
        }
    }

    /// Creates a resource as this AE; gives its representation.
    pub fn create(&self, who: &str, parent: &str, ty: u16, body: &Value) -> Outcome<Value> {
        match self.request(who, "POST", parent, Some(ty), Some(body))? {
            (2001, made) => Ok(made.as_object().and_then(|made| made.values().next()).cloned().unwrap_or_default()),
            (code, made) => Err(format!("{who} cannot create {body} in {parent}: {code} {made}").into()),
        }
    }

    /// An instance in a container.
    pub fn say(&self, who: &str, container: &str, con: &str) -> Outcome<Value> {
        self.create(who, container, 4, &json!({"m2m:cin": {"con": con}}))
    }

    /// Attributes of a resource, as this AE sees them; null: there is none, or none for it.
    pub fn get(&self, who: &str, address: &str) -> Outcome<Value> {
        let (code, body) = self.request(who, "GET", address, None, None)?;
        let attributes = body.as_object().and_then(|body| body.values().next()).filter(|_| code == 2000);
        Ok(attributes.cloned().unwrap_or_default())
    }

    /// Changes a resource.
    pub fn update(&self, who: &str, address: &str, body: &Value) -> Outcome<()> {
        match self.request(who, "PUT", address, None, Some(body))? {
            (2004, _) => Ok(()),
            (code, answer) => Err(format!("{who} cannot update {address}: {code} {answer}").into()),
        }
    }

    /// Addresses below a resource that this AE discovers.
    pub fn discover(&self, who: &str, root: &str) -> Outcome<Vec<String>> {
        let (_, found) = self.request(who, "GET", &format!("{root}?fu=1"), None, None)?;
        let found = found["m2m:uril"].as_array().cloned().unwrap_or_default();
        Ok(found.iter().filter_map(|address| address.as_str().map(str::to_owned)).collect())
    }

    /// Asks until it fits.
    pub fn await_attributes(&self, who: &str, address: &str, fits: impl Fn(&Value) -> bool) -> Outcome<Value> {
        let deadline = Instant::now() + crate::service::SOON;
        loop {
            let found = self.get(who, address).unwrap_or_default();
            if fits(&found) {
                return Ok(found);
            }
            if Instant::now() > deadline {
                return Err(format!("{address} did not become as expected: {found}").into());
            }
            self.process.lines.wait_from(self.process.lines.count(), LOOK_EVERY, |_| false);
        }
    }

    /// Response status code and body of one request.
    fn request(
        &self,
        who: &str,
        method: &str,
        to: &str,
        ty: Option<u16>,
        body: Option<&Value>,
    ) -> Outcome<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = ty.map(|ty| format!(";ty={ty}")).unwrap_or_default();
        let kind = if body.is_empty() { String::new() } else { format!("Content-Type: application/json{kind}\r\n") };
        write!(
            stream,
            "{method} /{to} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-M2M-Origin: {who}\r\nX-M2M-RI: test\r\nX-M2M-RVI: 3\r\nAccept: application/json\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        read_answer(BufReader::new(stream))
    }
}

fn read_answer(mut stream: BufReader<TcpStream>) -> Outcome<(u16, Value)> {
    let (mut code, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "x-m2m-rsc" => code = value.parse()?,
            "content-length" => length = value.parse()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((code, serde_json::from_slice(&body).unwrap_or_default()))
}

fn launch(directory: &Path) -> Outcome<Process> {
    let program = place::target()?.join("acme").join("bin").join("acmecse");
    if !program.exists() {
        return Err("acmecse is not installed; `cargo verify` installs it".into());
    }
    let mut command = bound(program);
    command.args(["--headless", "--config", "acme.ini", "--db-type", "tinydb", "--no-mqtt", "--no-ws", "--no-coap"]);
    command.arg("--base-directory").arg(directory).current_dir(directory).env("PYTHONUNBUFFERED", "1");
    Process::start("ACME CSE", command)
}

fn configuration(port: u16) -> String {
    format!(
        "[basic.config]\ncseType=IN\ncseID=id-in\ncseName=cse-in\nadminID={ADMIN}\nnetworkInterface=127.0.0.1\ncseHost=127.0.0.1\nhttpPort={port}\ndatabaseType=tinydb\nlogLevel=warn\nconsoleTheme=dark\n[database.tinydb]\nwriteDelay=1\n"
    )
}
