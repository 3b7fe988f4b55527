//! Commands that nodes have, as a concentrator lists them.

use minidom::Element;

use super::super::dialect::Dialect;
use super::super::xml::{Tag, text_of};

/// How a command is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommandKind {
    /// At once.
    #[default]
    Simple,
    /// After a form was filled in.
    Parametrized,
    /// After a form was filled in; its results come in messages.
    Query,
}

/// A command of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// For machines.
    pub id: String,
    /// For people.
    pub name: String,
    /// How it is carried out.
    pub kind: CommandKind,
    /// Commands are shown in the order of this; empty for none.
    pub sort_category: String,
    /// And then of this; empty for none.
    pub sort_key: String,
    /// To be asked before; empty: nothing.
    pub confirmation: String,
    /// To be told after a failure; empty: nothing.
    pub failure: String,
    /// To be told after a success; empty: nothing.
    pub success: String,
}

impl CommandKind {
    /// The reference writes and reads one spelling, the schema and the other generations another.
    const fn as_str(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Simple, _) => "Simple",
            (Self::Query, _) => "Query",
            (Self::Parametrized, Dialect::Ieee | Dialect::Nf) => "Parametrized",
            (Self::Parametrized, Dialect::Xmpp | Dialect::Nfi) => "Parameterized",
        }
    }

    /// As the reference does, what is unknown is taken for simple.
    fn from_attribute(text: Option<&str>) -> Self {
        match text {
            Some("Parametrized" | "Parameterized") => Self::Parametrized,
            Some("Query") => Self::Query,
            _ => Self::Simple,
        }
    }
}

impl Command {
    pub(super) fn parse(element: &Element) -> Option<Self> {
        Some(Self {
            id: element.attr("command")?.to_owned(),
            name: text_of(element, "name"),
            kind: CommandKind::from_attribute(element.attr("type")),
            sort_category: text_of(element, "sortCategory"),
            sort_key: text_of(element, "sortKey"),
            confirmation: text_of(element, "confirmationString"),
            failure: text_of(element, "failureString"),
            success: text_of(element, "successString"),
        })
    }

    pub(super) fn to_tag(&self, dialect: Dialect) -> Tag {
        Tag::new("command", dialect.concentrator_ns())
            .attr("command", &self.id)
            .attr("name", &self.name)
            .attr("type", self.kind.as_str(dialect))
            .filled("sortCategory", &self.sort_category)
            .filled("sortKey", &self.sort_key)
            .filled("confirmationString", &self.confirmation)
            .filled("failureString", &self.failure)
            .filled("successString", &self.success)
    }
}
