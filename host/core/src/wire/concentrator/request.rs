//! What a client asks of a concentrator: the operation with its arguments, and what every request may bring.

mod arguments;
mod operation;
#[cfg(test)]
mod tests;

use bitflags::bitflags;
use minidom::Element;

use super::super::dialect::Dialect;
use super::super::paging::Page;
use super::super::stanza::StanzaFault;
use super::super::xml::{Tag, lang_of, tokens_of, with_tokens};
use crate::model::Tokens;

pub(super) use arguments::source_name;
pub use operation::{OPERATIONS, Operation, Targets};

/// What a client asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The generation asked in.
    pub dialect: Dialect,
    /// Language for names.
    pub lang: Option<String>,
    /// What the caller passes along.
    pub tokens: Tokens,
    /// Which part of a long list is wanted (XEP-0059, which the family does not mention); none: all of it, or nothing.
    pub page: Option<Page>,
    /// What.
    pub operation: Operation,
}

/// What an answer must know of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The generation asked in.
    pub dialect: Dialect,
    /// The operation's name.
    pub name: String,
}

/// How much is told of each node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// With parameters.
    pub parameters: bool,
    /// With messages.
    pub messages: bool,
}

bitflags! {
    /// What a data source tells its subscribers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct NodeEvents: u8 {
        /// A node is new.
        const ADDED = 1;
        /// A node is different.
        const UPDATED = 2;
        /// A node's health changed.
        const STATUS = 4;
        /// A node is gone.
        const REMOVED = 8;
        /// A node went up among its siblings.
        const MOVED_UP = 16;
        /// A node went down among its siblings.
        const MOVED_DOWN = 32;
    }
}

impl Request {
    /// A request that brings nothing but its operation.
    pub fn new(dialect: Dialect, operation: Operation) -> Self {
        Self { dialect, lang: None, tokens: Tokens::default(), page: None, operation }
    }

    /// Reads any operation.
    pub fn parse(payload: &Element, dialect: Dialect) -> Result<Self, StanzaFault> {
        Ok(Self {
            dialect,
            lang: lang_of(payload),
            tokens: tokens_of(payload, dialect.is_long())?,
            page: Page::parse(payload),
            operation: Operation::parse(payload, dialect)?,
        })
    }

    /// Writes it; whether it goes into an iq set is [`Operation::changes`].
    pub fn to_element(&self) -> Element {
        let tag = Tag::new(self.operation.name(), self.dialect.concentrator_ns()).lang(self.lang.as_deref());
        let tag = with_tokens(tag, &self.tokens, self.dialect.is_long());
        self.operation.write(tag, self.dialect).children(self.page.as_ref().map(Page::to_element)).build()
    }

    /// What an answer must know of it.
    pub fn head(&self) -> Head {
        Head { dialect: self.dialect, name: self.operation.name().to_owned() }
    }
}

impl Detail {
    fn write(self, tag: Tag) -> Tag {
        tag.flag("parameters", self.parameters).flag("messages", self.messages)
    }
}
