//! The file as operators write it, well and badly.

use tombolo_core::model::NodeRef;
use tombolo_core::policy::{Grant, Policy};

use super::*;

mod bridges;
mod endpoints;

/// A scratch directory for a configuration and the files it names.
pub(super) struct Place(tempfile::TempDir);

impl Place {
    pub(super) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.0.path().join("secrets")).unwrap();
        place.write("secrets/xmpp", "hunter2\n");
        place.write("secrets/mqtt", "correct horse\r\n");
        place
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.0.path().join(name), content).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, text: &str) -> Result<Config, ConfigError> {
        self.write("tombolo.toml", text);
        let credentials = self.path("secrets").display().to_string();
        Config::load_with(&self.path("tombolo.toml"), &|name| match name {
            "NAME" => Some("from the environment".to_owned()),
            "EMPTY" => Some(String::new()),
            "CREDENTIALS_DIRECTORY" => Some(credentials.clone()),
            _ => None,
        })
    }

    /// Complaints as `line: key: what`.
    fn complaints(&self, text: &str) -> Vec<String> {
        let error = self.load(text).expect_err("a file that is wrong");
        let prefix = format!("{}:", self.path("tombolo.toml").display());
        let text = error.to_string().replace(&format!("{}/", self.0.path().display()), "");
        text.lines()
            .map(|line| line.trim_start_matches(&prefix).trim_start_matches("tombolo.toml:").to_owned())
            .collect()
    }

    /// The one complaint about this section, which stands after a good [xmpp] of three lines.
    pub(super) fn complaint(&self, section: &str) -> String {
        let all = self.complaints(&format!("{XMPP}{section}"));
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().unwrap()
    }
}

const XMPP: &str = "[xmpp]\njid = \"bridge@example.org\"\npassword = { file = \"secrets/xmpp\" }\n";

pub(super) fn good(text: &str) -> Config {
    Place::new().load(&format!("{XMPP}{text}")).unwrap_or_else(|error| panic!("{error}"))
}

fn certificate() -> (String, String) {
    let signed = rcgen::generate_simple_self_signed(vec!["broker.lan".to_owned()]).unwrap();
    (signed.cert.pem(), signed.signing_key.serialize_pem())
}

#[test]
fn reads_the_example_of_the_manual() {
    let place = Place::new();
    place.write("ca.pem", &certificate().0);
    place.write("broker-ca.pem", &certificate().0);
    let config = place
        .load(
            r#"
plugins = "plugins"                       # relative paths are relative to this file
state   = "state"

[xmpp]                                    # as a client ...
jid      = "bridge@example.org"           # optional resource; default "tombolo"
password = { file = "secrets/xmpp" }
server   = "127.0.0.1:5222"
tls      = "required"
ca       = "ca.pem"

[bridges.home]
plugin = "mqtt"
[bridges.home.endpoints]
broker = { connect = "mqtts://broker.lan:8883", ca = "broker-ca.pem" }
[bridges.home.settings]
username = "tombolo"
password = { file = "secrets/mqtt" }

[bridges.home.limits]
memory   = "32 MiB"
deadline = "50 ms"

[[allow]]
who    = ["alice@example.org", "*@ops.example.org"]
may    = ["see", "read", "control"]
nodes  = ["home/kitchen/*"]
fields = ["*"]

[admin]
listen = "127.0.0.1:9464"
"#,
        )
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((config.plugins.clone(), config.state.clone()), (place.path("plugins"), place.path("state")));
    let Xmpp::Client(account) = &config.xmpp else { panic!("{:?}", config.xmpp) };
    assert_eq!(account.jid.to_string(), "bridge@example.org/tombolo");
    assert_eq!(account.password.expose(), "hunter2");
    assert_eq!(account.server.as_ref().unwrap().to_string(), "127.0.0.1:5222");
    assert_eq!(account.ca, [place.path("ca.pem")]);
    let home = &config.bridges["home"];
    assert_eq!((home.plugin.as_str(), home.line.0), ("mqtt", 12));
    assert_eq!(home.endpoints["broker"].grant, Grant::parse("mqtts://broker.lan:8883").unwrap());
    assert!(home.grants("home").open("broker", None).is_ok());
    let settings = serde_json::json!({ "username": "tombolo", "password": "correct horse" });
    assert_eq!(home.settings.expose(), &settings);
    assert_eq!(home.limits, Limits { memory_bytes: 32 << 20, deadline: std::time::Duration::from_millis(50) });
    let policy = Policy::new(config.allow.clone());
    let alice = jid::BareJid::new("alice@example.org").unwrap();
    assert!(policy.of(&alice).control(&NodeRef::new("kitchen/lamp", "home")).is_ok());
    assert!(policy.of(&alice).see(&NodeRef::new("cellar/pump", "home")).is_err());
    assert_eq!(config.admin.unwrap().listen.port(), 9464);
}

#[test]
fn what_is_not_written_has_a_default() {
    let config = good("[bridges.home]\nplugin = \"mqtt\"\n");
    assert!(config.plugins.ends_with("plugins") && config.state.ends_with("state"));
    assert_eq!((config.allow.len(), config.admin, config.client), (0, None, None));
    let home = &config.bridges["home"];
    assert_eq!((home.limits, home.endpoints.len()), (Limits::default(), 0));
    assert_eq!(home.settings.expose(), &serde_json::json!({}));
}

#[test]
fn a_private_server_needs_next_to_nothing() {
    let place = Place::new();
    let config = place.load("[xmpp.local]\n").unwrap();
    let Xmpp::Local(local) = config.xmpp else { panic!("{:?}", config.xmpp) };
    assert_eq!(
        (local.domain.to_string(), local.accounts.len(), local.listen),
        ("tombolo.localhost".to_owned(), 0, None)
    );
    let text = "[xmpp.local]\ndomain = \"home.arpa\"\naccounts = { alice = { file = \"secrets/xmpp\" } }\nlisten = \"127.0.0.1:5222\"\n";
    let Xmpp::Local(local) = place.load(text).unwrap().xmpp else { panic!("not local") };
    assert_eq!(local.accounts["alice"].expose(), "hunter2");
    assert_eq!(local.listen.unwrap().to_string(), "127.0.0.1:5222");
    let complaints = place.complaints("[xmpp.local]\naccounts = { bridge = \"x\" }\n");
    assert!(complaints[0].starts_with("2: xmpp.local.accounts.bridge: \"bridge\" is tombolo's own"), "{complaints:?}");
}

#[test]
fn a_private_server_is_reached_from_the_network_with_a_certificate_for_its_domain_only() {
    let place = Place::new();
    let (certificate, key) = certificate();
    place.write("server.pem", &certificate);
    place.write("server.key", &key);
    let listen = "[xmpp.local]\ndomain = \"broker.lan\"\nlisten = \"0.0.0.0:5222\"\n";
    let complaints = place.complaints(listen);
    assert!(complaints[0].starts_with("3: xmpp.local.listen: who is not on this machine needs TLS"), "{complaints:?}");
    assert!(complaints[0].contains("certificate = \"server.pem\" and key = \"server.key\""), "{complaints:?}");
    let both = "certificate = \"server.pem\"\nkey = \"server.key\"\n";
    let Xmpp::Local(local) = place.load(&format!("{listen}{both}")).unwrap().xmpp else { panic!("not local") };
    let files = local.certificate.unwrap();
    assert_eq!((files.certificate, files.key), (place.path("server.pem"), place.path("server.key")));
    let complaints = place.complaints(&format!("{listen}certificate = \"server.pem\"\n"));
    assert_eq!(
        complaints,
        ["4: xmpp.local.certificate: a certificate and its key come together; write both `certificate` and `key`"]
    );
    let complaints = place.complaints(&format!("[xmpp.local]\nlisten = \"0.0.0.0:5222\"\n{both}"));
    assert!(complaints[0].contains("server.pem is not for tombolo.localhost"), "{complaints:?}");
}

#[test]
fn secrets_come_from_four_places_and_are_shown_nowhere() {
    let config = good(
        r#"
[bridges.home]
plugin = "x"
[bridges.home.settings]
file = "is a name like any other"
literal = "lit"
list = [{ env = "NAME" }, { credential = "mqtt" }]
deep = { er = { token = { file = "secrets/mqtt" } } }
[client]
jid = "alice@example.org"
password = { env = "NAME" }
"#,
    );
    let settings = config.bridges["home"].settings.expose();
    assert_eq!(settings["list"], serde_json::json!(["from the environment", "correct horse"]));
    assert_eq!(settings["deep"]["er"]["token"], "correct horse");
    assert_eq!(settings["file"], "is a name like any other");
    let shown = format!("{config:?} {config:#?}");
    for secret in ["hunter2", "correct horse", "from the environment", "lit\""] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn secrets_that_cannot_be_had_are_named_and_never_quoted() {
    let place = Place::new();
    place.write("secrets/empty", "\n");
    for (form, complaint) in [
        (
            "{ file = \"secrets/none\" }",
            "cannot read the secret from secrets/none: No such file or directory (os error 2)",
        ),
        ("{ file = \"secrets/empty\" }", "the secret is empty (secrets/empty)"),
        ("{ env = \"UNSET\" }", "the environment variable UNSET is not set"),
        ("{ env = \"EMPTY\" }", "the secret is empty (the environment variable EMPTY)"),
        ("{ credential = \"../xmpp\" }", "a credential's name is a file name without any path"),
        ("\"\"", "the secret is empty (the text)"),
    ] {
        let complaints = place.complaints(&format!("[xmpp]\njid = \"a@b\"\npassword = {form}\n"));
        assert_eq!(complaints, [format!("3: xmpp.password: {complaint}")]);
    }
    for form in ["42", "{ path = \"x\" }", "{ file = 1 }", "{ file = \"a\", env = \"b\" }", "[\"s3cret\"]"] {
        let complaints = place.complaints(&format!("[xmpp]\njid = \"a@b\"\npassword = {form}\n"));
        assert!(complaints[0].starts_with("3: xmpp.password: write a text, { file = "), "{complaints:?}");
    }
}

#[test]
fn a_syntax_error_names_its_line_and_does_not_quote_it() {
    let complaints = Place::new().complaints("[xmpp]\njid = \"a@b\"\npassword = \"hunter2\n");
    assert!(complaints[0].starts_with("3: "), "{complaints:?}");
    assert!(!complaints.join("\n").contains("hunter2"), "{complaints:?}");
    let complaints = Place::new().complaints("[xmpp]\njid = \"a@b\"\njid = \"c@d\"\n");
    assert_eq!(complaints, ["3: duplicate key"]);
}

#[test]
fn a_missing_file_is_one_clear_sentence() {
    let error = Config::load(Path::new("/nowhere/tombolo.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/tombolo.toml: cannot read the file: No such file or directory (os error 2)"
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let complaints = Place::new().complaints(
        r#"plugin = "plugins"
[xmpp]
jdi = "bridge@example.org"
pasword = "hunter2"
tls = "requird"
[bridges.home]
plugin = "mqtt.wasm"
endpoint = {}
[bridges.home.endpoints]
broker = { connect = "mqtt://broker.lan", sever_name = "x" }
device = { conect = "tcp://device" }
[bridges.home.limits]
memory = 64
deadline = "soon"
[[alow]]
who = []
"#,
    );
    assert_eq!(
        complaints,
        [
            "1: plugin: unknown key; did you mean \"plugins\"?",
            "2: xmpp: \"jid\" is missing; write jid = \"bridge@example.org\"",
            "2: xmpp: \"password\" is missing; write password = { file = \"secrets/xmpp\" }",
            "3: xmpp.jdi: unknown key; did you mean \"jid\"?",
            "4: xmpp.pasword: unknown key; did you mean \"password\"?",
            "5: xmpp.tls: \"requird\" is not known; write one of \"required\", \"direct\", \"insecure\"; did you mean \"required\"?",
            "7: bridges.home.plugin: write the plugin's file name without directory and `.wasm`, as in \"mqtt\"",
            "8: bridges.home.endpoint: unknown key; did you mean \"endpoints\"?",
            "10: bridges.home.endpoints.broker.sever_name: unknown key; did you mean \"server_name\"?",
            "11: bridges.home.endpoints.device: \"connect\" is missing; write connect = \"SCHEME://HOST:PORT\"",
            "11: bridges.home.endpoints.device.conect: unknown key; did you mean \"connect\"?",
            "13: bridges.home.limits.memory: a number stands where a text in quotation marks belongs",
            "14: bridges.home.limits.deadline: \"soon\" is no duration; write a number and a unit (us, ms, s, min, h, d), as in \"100 ms\"",
            "15: alow: unknown key; did you mean \"allow\"?",
        ]
    );
}

#[test]
fn accounts_are_accounts() {
    let place = Place::new();
    for (jid, what) in
        [("example.org", "\"example.org\" has no local part"), ("a@@b", "\"a@@b\" is no JID"), ("", "\"\" is no JID")]
    {
        let complaints = place.complaints(&format!("[xmpp]\njid = \"{jid}\"\npassword = \"x\"\n"));
        assert!(complaints[0].starts_with(&format!("2: xmpp.jid: {what}")), "{complaints:?}");
    }
    let config = place.load("[xmpp]\njid = \"Bridge@Example.ORG/kitchen\"\npassword = \"x\"\n").unwrap();
    let Xmpp::Client(account) = config.xmpp else { panic!("not a client") };
    assert_eq!(account.jid.to_string(), "bridge@example.org/kitchen");
}

#[test]
fn without_tls_only_on_this_machine() {
    let place = Place::new();
    let file = |server: &str| format!("[xmpp]\njid = \"a@b\"\npassword = \"x\"\ntls = \"insecure\"\n{server}");
    for server in ["127.0.0.1:5222", "[::1]:5222", "::1", "localhost", "127.5.5.5"] {
        place.load(&file(&format!("server = \"{server}\"\n"))).unwrap_or_else(|error| panic!("{error}"));
    }
    for server in
        ["", "server = \"10.0.0.1\"\n", "server = \"example.org:5222\"\n", "server = \"localhost.example.org\"\n"]
    {
        let complaints = place.complaints(&file(server));
        assert!(
            complaints[0].starts_with("4: xmpp.tls: \"insecure\" is allowed only with a server on this"),
            "{complaints:?}"
        );
    }
}

#[test]
fn servers_are_hosts_with_or_without_a_port() {
    for (text, shown) in
        [("a.example", "a.example"), ("[::1]:1", "[::1]:1"), ("::1", "[::1]"), ("10.0.0.1:5222", "10.0.0.1:5222")]
    {
        let config = good(&format!("server = \"{text}\"\n"));
        let Xmpp::Client(account) = config.xmpp else { panic!("not a client") };
        assert_eq!(account.server.unwrap().to_string(), shown);
    }
    for text in ["", ":5222", "a b", "a:port", "a:0", "[::1]5222", "xmpp://a"] {
        let complaint = Place::new().complaint(&format!("server = \"{text}\"\n"));
        assert!(complaint.starts_with(&format!("4: xmpp.server: \"{text}\" is no server")), "{complaint}");
    }
}

#[test]
fn files_that_mean_the_same_are_equal() {
    let place = Place::new();
    let one = place.load(&format!("{XMPP}[bridges.a]\nplugin = \"x\"\n[bridges.b]\nplugin = \"y\"\n")).unwrap();
    let same =
        place.load(&format!("# moved\n{XMPP}\n[bridges.b]\nplugin = 'y'\n\n[bridges.a]\nplugin = \"x\"\n")).unwrap();
    assert_eq!(one, same);
    place.write("secrets/xmpp", "changed");
    let changed = place.load(&format!("{XMPP}[bridges.a]\nplugin = \"x\"\n[bridges.b]\nplugin = \"y\"\n")).unwrap();
    assert_ne!(one, changed);
}

#[test]
fn client_commands_read_nothing_but_their_own_section() {
    let place = Place::new();
    place.write(
        "c.toml",
        "[xmpp]\njid = \"a@b\"\npassword = { file = \"not/for/us\" }\n[client]\njid = \"alice@example.org\"\n",
    );
    let client = Client::load(&place.path("c.toml")).unwrap().unwrap();
    assert_eq!((client.jid.to_string(), client.password), ("alice@example.org".to_owned(), None));
    place.write("c.toml", "state = \"x\"\n");
    assert_eq!(Client::load(&place.path("c.toml")), Ok(None));
    place.write("c.toml", "[client]\njid = \"alice@example.org\"\npasword = \"x\"\n");
    assert!(Client::load(&place.path("c.toml")).unwrap_err().to_string().ends_with("did you mean \"password\"?"));
}

#[test]
fn http_endpoints_are_read_and_what_is_wrong_with_them_is_said_by_line() {
    let rule = |more: &str| format!("[[http]]\npath = \"/heating\"\nwho = [\"alice@example.org\"]\n{more}");
    let place = Place::new();
    let good = place.load(&format!("{XMPP}{}", rule("target = \"http://192.168.1.20:8080/api\"\n"))).unwrap();
    let [http] = good.http.as_slice() else { panic!("one section") };
    assert_eq!((http.path(), http.allowed()), ("/heating", "GET, HEAD".to_owned()));
    for (more, complaint) in [
        ("", "\"target\" is missing"),
        ("target = \"http://a\"\nmethod = [\"GET\"]\n", "unknown key; did you mean \"methods\"?"),
        ("target = \"http://a\"\nmethods = [\"get\"]\n", "\"get\" is not known"),
        ("target = \"ftp://a\"\n", "`ftp://a` is no target"),
        ("target = \"http://a/../b\"\n", "is no path"),
    ] {
        let complaints = place.complaints(&format!("{XMPP}{}", rule(more)));
        assert!(complaints.len() == 1 && complaints[0].contains(complaint), "{more}: {complaints:?}");
    }
    let relative = rule("target = \"http://a\"\n").replace("/heating", "heating");
    assert!(place.complaint(&relative).contains("http.path: `heating` is no path"), "{:?}", place.complaint(&relative));
}

#[test]
fn doors_for_http_clients_are_read_and_an_open_one_is_refused_with_the_remedy() {
    let door = |more: &str| format!("[[http]]\n{more}to = \"httpx://plant@example.com/heating\"\n");
    let place = Place::new();
    place.write("token", "s3cret\n");
    let good =
        door("listen = \"127.0.0.1:8085\"\n") + &door("listen = \"0.0.0.0:8086\"\ntoken = { file = \"token\" }\n");
    let good = place.load(&format!("{XMPP}{good}")).unwrap();
    let [local, open] = good.doors.as_slice() else { panic!("two doors") };
    assert_eq!((local.to().as_str(), local.allowed().as_str(), good.http.len()), ("plant@example.com", "GET, HEAD", 0));
    assert!(open.admit(&[("authorization".to_owned(), b"Bearer s3cret".to_vec())]).is_ok());
    assert!(open.admit(&[]).is_err());
    for (more, complaint) in [
        ("listen = \"0.0.0.0:8085\"\n", "http.listen: 0.0.0.0:8085 can be reached from other machines; write a token"),
        ("listen = \"8085\"\n", "is no address and port"),
        ("listen = \"127.0.0.1:0\"\n", "has no port"),
        ("listen = \"127.0.0.1:8085\"\nwho = [\"a@b\"]\n", "unknown key"),
    ] {
        let complaints = place.complaints(&format!("{XMPP}{}", door(more)));
        assert!(complaints.len() == 1 && complaints[0].contains(complaint), "{more}: {complaints:?}");
    }
    let twice = door("listen = \"127.0.0.1:8085\"\n").repeat(2);
    assert!(place.complaint(&twice).contains("two sections listen at 127.0.0.1:8085"));
    let nowhere = door("listen = \"127.0.0.1:8085\"\n").replace("httpx", "http");
    assert!(place.complaint(&nowhere).contains("write httpx://"), "{}", place.complaint(&nowhere));
}

#[test]
fn an_https_target_may_have_an_issuer_of_its_own() {
    let rule =
        |target: &str| format!("[[http]]\npath = \"/\"\nwho = [\"a@b\"]\ntarget = \"{target}\"\nca = \"ca.pem\"\n");
    let place = Place::new();
    let ca = rcgen::generate_simple_self_signed(vec!["device.lan".to_owned()]).unwrap().cert.pem();
    assert!(place.complaint(&rule("https://device.lan")).contains("cannot use"));
    place.write("ca.pem", &ca);
    let good = place.load(&format!("{XMPP}{}", rule("https://device.lan"))).unwrap();
    assert_eq!(good.http[0].ca().as_deref(), Some(ca.as_bytes()));
    assert!(
        place.complaint(&rule("http://device.lan")).contains("http.ca: without TLS"),
        "{}",
        place.complaint(&rule("http://device.lan"))
    );
}
