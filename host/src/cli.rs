//! The command line: arguments, exit codes and where output goes.
//!
//! Results go to standard output, one line or one JSON object each; everything else goes to standard error. Exit codes are those of
//! `sysexits.h` that operator scripts rely on.

mod client;
mod log;
mod operator;
mod plugin;
mod service;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// What a command ends with when it does not succeed: an exit code and a sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum Exit {
    /// 64: the arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// 69: a peer cannot be reached or does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// 70: a defect of ours, or of the machine.
    #[error("{0}")]
    Internal(String),
    /// 77: the other side says no.
    #[error("{0}")]
    NotAllowed(String),
    /// 78: the configuration, or a file that it names.
    #[error("{0}")]
    Configuration(String),
}

impl Exit {
    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Unreachable(_) => 69,
            Self::Internal(_) => 70,
            Self::NotAllowed(_) => 77,
            Self::Configuration(_) => 78,
        }
    }
}

/// Joins IoT islands to each other over XMPP, with sandboxed protocol mappers.
#[derive(Parser)]
#[command(name = "tombolo", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service in the foreground; SIGHUP reloads, SIGTERM drains and ends.
    Run {
        #[command(flatten)]
        file: ConfigFile,
        /// Record every call into every mapper below this directory, for `plugin replay`.
        #[arg(long, value_name = "DIR")]
        journal: Option<PathBuf>,
    },
    /// Check configuration, plugins, settings and grants; touch nothing.
    Check {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Look at plugin files.
    #[command(subcommand)]
    Plugin(Plugin),
    /// List the nodes behind a JID, as a tree.
    Things {
        /// The concentrator; a bare JID means its resource `tombolo`.
        jid: String,
        #[command(flatten)]
        login: Login,
    },
    /// Read fields, as a table.
    Read {
        /// The concentrator; a bare JID means its resource `tombolo`.
        jid: String,
        /// Nodes as `things` prints them, `SOURCE/ID`; none: all.
        nodes: Vec<String>,
        /// Kinds of fields: momentary, identity, status, computed, peak, historical, all.
        #[arg(long, value_delimiter = ',', default_value = "all")]
        kinds: Vec<String>,
        /// Only these fields.
        #[arg(long, value_delimiter = ',')]
        fields: Vec<String>,
        /// Not before, as 2026-01-31T12:00:00Z.
        #[arg(long)]
        from: Option<String>,
        /// Not after.
        #[arg(long)]
        to: Option<String>,
        #[command(flatten)]
        login: Login,
    },
    /// Set control parameters of a node.
    Set {
        /// The concentrator, or a thing; a bare JID means its resource `tombolo`.
        jid: String,
        /// The node as `things` prints it, `SOURCE/ID`, unless the JID is a thing of its own; then parameters and their new values, in the
        /// order in which they are to be set.
        #[arg(required = true, value_name = "NODE | NAME=VALUE")]
        words: Vec<String>,
        #[command(flatten)]
        login: Login,
    },
    /// Have a node, or a bridge, carry out one of its commands, as `things` prints them; a query's results are printed.
    #[command(name = "command")]
    Invoke {
        /// The concentrator; a bare JID means its resource `tombolo`.
        jid: String,
        /// The node as `things` prints it, `SOURCE/ID`; a bridge's name for its own: restart, release, checkpoint.
        node: String,
        /// The command.
        name: String,
        /// What it wants to know.
        #[arg(value_name = "NAME=VALUE")]
        values: Vec<String>,
        #[command(flatten)]
        login: Login,
    },
    /// Show readings as they come, until interrupted.
    Watch {
        /// The concentrator; a bare JID means its resource `tombolo`.
        jid: String,
        /// Nodes as `things` prints them, `SOURCE/ID`; none: all.
        nodes: Vec<String>,
        /// End after this many readings.
        #[arg(long)]
        count: Option<u64>,
        #[command(flatten)]
        login: Login,
    },
    /// Look at what was set aside because it could not be delivered, and hand it over again or let it go.
    #[command(subcommand)]
    Dead(Dead),
    /// Follow the newest value of a node through the running service, hop by hop, with times.
    Explain {
        /// The node, as `things` prints it: `SOURCE/ID`.
        node: String,
        #[command(flatten)]
        file: ConfigFile,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show bridges, plugins, connections and queues of the running service.
    Status {
        #[command(flatten)]
        file: ConfigFile,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum Dead {
    /// All of it, oldest first: number, since when, whose, by which way, and why.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// One of it, with its content.
    Show {
        /// Its number.
        id: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Hand one of it over again, under the rules in force.
    Replay {
        /// Its number.
        id: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Let one of it go for good.
    Drop {
        /// Its number.
        id: u64,
        #[command(flatten)]
        common: Common,
    },
}

/// What commands to the running service have in common.
#[derive(Args)]
struct Common {
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Plugin {
    /// What a host would say of it: description, imports, contract version, endpoints, and the configuration to paste.
    Inspect {
        /// A component.
        file: PathBuf,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Run recorded events through a component and compare the actions.
    Replay {
        /// A component.
        file: PathBuf,
        /// What `run --journal` recorded.
        transcript: PathBuf,
    },
}

#[derive(Args)]
struct ConfigFile {
    /// The operator's file.
    #[arg(long, value_name = "FILE", default_value = "tombolo.toml")]
    config: PathBuf,
}

/// How a client command logs in: `--as` with `TOMBOLO_PASSWORD`, or the `[client]` section, or the first account of `[xmpp.local]`.
#[derive(Args)]
struct Login {
    /// Log in with this JID and the password in the environment variable TOMBOLO_PASSWORD.
    #[arg(long = "as", value_name = "JID")]
    account: Option<String>,
    /// The server, if the domain's SRV records do not say.
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// required, direct, or insecure (loopback only).
    #[arg(long)]
    tls: Option<String>,
    /// Further trust anchors, PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Where `[client]` or `[xmpp.local]` stands.
    #[arg(long, value_name = "FILE", default_value = "tombolo.toml")]
    config: PathBuf,
    /// Seconds to wait for an answer.
    #[arg(long, default_value_t = 30)]
    timeout: u64,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Runs the command line and says what to exit with.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => {
            let _ = refusal.print();
            return ExitCode::from(if refusal.use_stderr() { 64 } else { 0 });
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Exit::Internal(format!("cannot start: {error}")))),
    };
    let ended = runtime.block_on(dispatch(arguments.command));
    // A resolver that hangs must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    end(ended)
}

/// Whether words make sense as arguments, the program's name left out; if not, why. Nothing is done.
pub fn understand<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    let understood = Arguments::try_parse_from(std::iter::once("tombolo").chain(words));
    understood.map(drop).map_err(|refusal| refusal.to_string())
}

async fn dispatch(command: Command) -> Result<(), Exit> {
    match command {
        Command::Run { file, journal } => service::run(file.config, journal).await,
        Command::Check { file } => service::check(&file.config).await,
        Command::Status { file, json } => service::status(&file.config, json).await,
        Command::Dead(what) => {
            let (what, Common { file, json }) = match what {
                Dead::List { common } => (operator::Dead::List, common),
                Dead::Show { id, common } => (operator::Dead::Show(id), common),
                Dead::Replay { id, common } => (operator::Dead::Replay(id), common),
                Dead::Drop { id, common } => (operator::Dead::Drop(id), common),
            };
            operator::dead(&file.config, what, json).await
        }
        Command::Explain { node, file, json } => operator::explain(&file.config, &node, json).await,
        Command::Plugin(Plugin::Inspect { file, json }) => plugin::inspect(&file, json).await,
        Command::Plugin(Plugin::Replay { file, transcript }) => plugin::replay(&file, &transcript).await,
        Command::Things { jid, login } => client::things(&jid, &login).await,
        Command::Read { jid, nodes, kinds, fields, from, to, login } => {
            client::read(&jid, client::Wanted { nodes, kinds, fields, from, to }, &login).await
        }
        Command::Set { jid, words, login } => client::set(&jid, &words, &login).await,
        Command::Invoke { jid, node, name, values, login } => {
            client::command(&jid, &node, &name, &values, &login).await
        }
        Command::Watch { jid, nodes, count, login } => client::watch(&jid, nodes, count, &login).await,
    }
}

#[allow(clippy::print_stderr)]
fn end(ended: Result<(), Exit>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("tombolo: {exit}");
            ExitCode::from(exit.code())
        }
    }
}

/// Prints one line of a result. A reader that went away (`| head`) ends the command in silence.
fn say(line: impl std::fmt::Display) {
    use std::io::Write;
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Prints one line for the person at the terminal, beside the result.
#[allow(clippy::print_stderr)]
fn note(line: impl std::fmt::Display) {
    eprintln!("{line}");
}
