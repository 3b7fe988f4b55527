//! The operator's file: what it can say, read and checked as a whole. Names are those of the operator's manual and are fixed.
//!
//! Owns reading the file and the files it names (secrets, certificates), and every complaint about them. Never decides who may
//! do what: rules and grants are handed to policy as its own types. Never opens a socket.
//!
//! Order: the text is parsed, each section is read by hand from the parsed tree (so that every complaint knows its line), all
//! complaints of the file are collected, and only a file without any becomes a [`Config`].

mod account;
mod allow;
mod bridges;
mod document;
mod endpoints;
mod error;
mod http;
mod keys;
mod mirror;
mod pem;
mod publish;
mod queues;
mod secret;
mod suggest;
mod units;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tombolo_core::hub::PublishRule;
use tombolo_core::policy::{Door, Glob, HttpRule, Policy, QueueRule, Rule};
use toml::de::DeTable;

pub use account::{Client, Xmpp, XmppComponent};
pub use bridges::{Bridge, Limits, Settings};
pub use document::Line;
pub use endpoints::Endpoint;
pub use error::{ConfigError, Problem};
pub use keys::{Key, Keys, Psk};
pub use pem::{Identity, Pem};
pub(crate) use suggest::hint;

use document::{Document, Environment, Section};

/// Everything the operator wrote. Two files that mean the same are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file itself.
    pub file: PathBuf,
    /// Where plugins are dropped.
    pub plugins: PathBuf,
    /// Where durable state lives.
    pub state: PathBuf,
    /// How tombolo appears on XMPP.
    pub xmpp: Xmpp,
    /// Bridges by name.
    pub bridges: BTreeMap<String, Bridge>,
    /// Who may do what, in the order of the file.
    pub allow: Vec<Rule>,
    /// Queues that we serve.
    pub queues: Vec<QueueRule>,
    /// HTTP endpoints that XMPP clients may use.
    pub http: Vec<HttpRule>,
    /// Where HTTP clients of the island reach somebody on XMPP.
    pub doors: Vec<Door>,
    /// Patterns for bare JIDs of those who look after the service over XMPP.
    pub admins: Vec<Glob>,
    /// Whether readings that are known are the answer to a request itself.
    pub inline_answers: bool,
    /// What is pushed without being asked for, in the order of the file.
    pub publish: Vec<PublishRule>,
    /// None: no listener.
    pub admin: Option<Admin>,
    /// The account of the client commands.
    pub client: Option<Client>,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where to listen.
    pub listen: SocketAddr,
}

impl Config {
    /// Reads the file, and the secrets and certificates it names, for the service. Blocks.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::load_with(file, &|name| std::env::var(name).ok())
    }

    /// The rules and who looks after the service, as policy wants them.
    pub fn policy(&self) -> Policy {
        Policy::new(self.allow.clone()).with_admins(self.admins.clone())
    }

    fn load_with(file: &Path, environment: Environment<'_>) -> Result<Self, ConfigError> {
        read_file(file, environment, |root| Self::read(file, root))
    }

    fn read(file: &Path, mut root: Section<'_>) -> Option<Self> {
        let plugins = directory(&mut root, "plugins");
        let state = directory(&mut root, "state");
        let xmpp = root.require("xmpp", "{ jid = ..., password = ... }, or a section [xmpp] or [xmpp.local]");
        let xmpp = xmpp.and_then(|field| field.section()).and_then(Xmpp::read);
        let bridges = root.take("bridges").and_then(|field| field.section());
        let bridges = bridges.map(|section| bridges::read(&section, matches!(xmpp, Some(Xmpp::Component(_)))));
        let allow = root.take("allow").and_then(|field| field.each(|rule| rule.section().and_then(allow::read)));
        let queues = root.take("queue").and_then(|field| field.each(|queue| queue.section().and_then(queues::read)));
        let (http, doors) = root.take("http").and_then(|field| http::read(&field)).unwrap_or_default();
        let admins = root.take("admins").and_then(|field| field.each(allow::who));
        let inline_answers = root.take("inline_answers").and_then(|field| field.truth());
        let is_component = matches!(xmpp, Some(Xmpp::Component(_)));
        let publish = root.take("publish").and_then(|field| publish::read(&field, is_component));
        let admin = root.take("admin").and_then(|field| field.section()).and_then(Admin::read);
        let client = root.take("client").and_then(|field| field.section()).and_then(Client::read);
        let (bridges, queues) = (bridges.unwrap_or_default(), queues.unwrap_or_default());
        let publish = publish.unwrap_or_default();
        queues::check(&root, &queues, &bridges, &publish);
        root.finish();
        Some(Self {
            file: file.to_owned(),
            plugins: plugins?,
            state: state?,
            xmpp: xmpp?,
            bridges,
            allow: allow.unwrap_or_default(),
            queues,
            http,
            doors,
            admins: admins.unwrap_or_default().into_iter().map(Glob::new).collect(),
            inline_answers: inline_answers.unwrap_or_default(),
            publish,
            admin,
            client,
        })
    }
}

impl Client {
    /// Reads only `[client]`, for the client commands: whoever runs them need not be allowed to read the service's secrets. Blocks.
    pub fn load(file: &Path) -> Result<Option<Self>, ConfigError> {
        let read = |mut root: Section<'_>| match root.take("client") {
            Some(field) => field.section().and_then(Self::read).map(Some),
            None => Some(None),
        };
        read_file(file, &|name| std::env::var(name).ok(), read)
    }
}

impl Admin {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let listen = section.require("listen", "\"127.0.0.1:9464\"");
        let listen = listen.and_then(|field| field.parse(account::socket_address));
        section.finish();
        Some(Self { listen: listen? })
    }
}

fn directory(root: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    root.take(key).map_or_else(|| Some(root.document.resolve(key)), |field| field.path())
}

/// Parses the file and hands its root to `read`; whatever was complained about meanwhile is the error.
fn read_file<T>(
    file: &Path,
    environment: Environment<'_>,
    read: impl FnOnce(Section<'_>) -> Option<T>,
) -> Result<T, ConfigError> {
    let fail = |problems| ConfigError { file: file.to_owned(), problems };
    let whole = |what: String| fail(vec![Problem { line: None, key: String::new(), what }]);
    let text = std::fs::read_to_string(file).map_err(|error| whole(format!("cannot read the file: {error}")))?;
    // A relative path in the file is relative to the file even if the service changes its directory.
    let path = std::path::absolute(file).map_err(|error| whole(error.to_string()))?;
    let document = Document::new(&text, path.parent().unwrap_or(Path::new("/")), environment);
    let (table, errors) = DeTable::parse_recoverable(&text);
    let value = match errors.is_empty() {
        true => read(Section::root(&document, table.get_ref())),
        false => None,
    };
    for error in errors {
        // The error's own display quotes the line, which may hold a secret.
        document.complain(error.span().map(|span| span.start), "", error.message());
    }
    let problems = document.into_problems();
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ if problems.is_empty() => Err(whole("the file cannot be used".to_owned())),
        _ => Err(fail(problems)),
    }
}

#[cfg(test)]
mod tests;
