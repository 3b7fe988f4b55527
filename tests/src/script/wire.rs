//! What is between the hub and those who talk to it, and the one where that is nothing: what is sent stands in one queue.

use std::collections::VecDeque;

use minidom::Element;

/// What is between the hub and those who talk to it. Stanzas that are heard come without their addresses, which were looked at.
pub(super) trait Wire {
    /// Whether there is a server that answers for itself.
    fn has_server(&self) -> bool;
    /// The hub's process begins: a new session.
    fn connect(&mut self) -> Result<(), String>;
    /// What the hub sends from here to [`Wire::hushed`] is not the script's business.
    fn hush(&mut self);
    /// What came of that, for the hub.
    fn hushed(&mut self) -> Result<Vec<Element>, String>;
    /// The id of the hub's question for our contact list, once, where there is nobody to answer it.
    fn roster(&mut self) -> Option<String>;
    /// The hub sends.
    fn send(&mut self, item: Option<u64>, stanza: Element) -> Result<(), String>;
    /// Somebody says something, our server if it is nobody: what arrives for the hub, this last.
    fn say(&mut self, from: Option<&str>, to: &str, block: &str) -> Result<Vec<Element>, String>;
    /// What arrives for the hub without anybody's saying something more.
    fn settled(&mut self) -> Result<Vec<Element>, String>;
    /// The next that somebody hears, our server if it is nobody. `from` is our address where we have several.
    fn heard(&mut self, to: Option<&str>, from: Option<&str>, pattern: &Element) -> Result<Element, String>;
    /// Something that was sent and not looked at, if there is anything.
    fn left(&mut self) -> Result<Option<String>, String>;
}

/// Nothing is between them.
#[derive(Default)]
pub(super) struct Near {
    stanzas: VecDeque<Element>,
    before: usize,
    roster: Option<String>,
}

impl Wire for Near {
    fn has_server(&self) -> bool {
        false
    }

    fn connect(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn hush(&mut self) {
        self.before = self.stanzas.len();
    }

    fn hushed(&mut self) -> Result<Vec<Element>, String> {
        let asked = self.stanzas.iter().skip(self.before).find(|stanza| stanza.has_child("query", "jabber:iq:roster"));
        self.roster = asked.and_then(|asked| asked.attr("id")).map(str::to_owned).or(self.roster.take());
        self.stanzas.truncate(self.before);
        Ok(Vec::new())
    }

    fn roster(&mut self) -> Option<String> {
        self.roster.take()
    }

    fn send(&mut self, _: Option<u64>, stanza: Element) -> Result<(), String> {
        self.stanzas.push_back(stanza);
        Ok(())
    }

    fn say(&mut self, from: Option<&str>, to: &str, block: &str) -> Result<Vec<Element>, String> {
        let from = from.map(|from| format!("from='{from}'")).unwrap_or_default();
        Ok(vec![super::parse(block, &format!("{from} to='{to}'"))?])
    }

    fn settled(&mut self) -> Result<Vec<Element>, String> {
        Ok(Vec::new())
    }

    fn heard(&mut self, to: Option<&str>, from: Option<&str>, _: &Element) -> Result<Element, String> {
        let mut found = self.stanzas.pop_front().ok_or("nothing was sent")?;
        for (name, wanted) in [("to", to), ("from", from)] {
            if found.attr(name) != wanted {
                return Err(format!("has {name}={:?} and not {wanted:?}: {}", found.attr(name), String::from(&found)));
            }
        }
        super::without_addresses(&mut found);
        Ok(found)
    }

    fn left(&mut self) -> Result<Option<String>, String> {
        Ok(self.stanzas.front().map(String::from))
    }
}
