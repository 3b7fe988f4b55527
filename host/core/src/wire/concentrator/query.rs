//! What a running query tells: tables, records, messages, and its end (concentrator.md §8). One message brings one or more of them, in order.

use minidom::Element;

use super::super::dialect::Dialect;
use super::super::lexical;
use super::super::xml::{Tag, node_of, text_of, with_node};
use crate::model::{NodeRef, Value, ValueType};

/// What one message of a query brings.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryProgress {
    /// The node that it is about.
    pub node: NodeRef,
    /// The query, as whoever asked called it.
    pub query: String,
    /// Counts from 1. Unknown to the first generation and to the schemas, but the reference waits for it.
    pub sequence: Option<u32>,
    /// In this order.
    pub items: Vec<QueryItem>,
}

/// One thing that a query tells.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum QueryItem {
    Started,
    /// The end.
    Done,
    /// The end, too early.
    Aborted,
    Title(String),
    Status(String),
    BeginSection(String),
    EndSection,
    NewTable {
        id: String,
        name: String,
        columns: Vec<Column>,
    },
    NewRecords {
        table: String,
        /// A cell for each column.
        records: Vec<Vec<Cell>>,
    },
    TableDone(String),
    NewObject {
        content_type: String,
        base64: String,
    },
    Message {
        kind: QueryMessageKind,
        level: MessageLevel,
        text: String,
    },
}

/// A column of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// For machines.
    pub id: String,
    /// For people; empty for none.
    pub header: String,
    /// Cells are ids of nodes in this source; empty: they are not.
    pub source: String,
    /// And in this partition.
    pub partition: String,
    /// As written; empty for none.
    pub foreground: String,
    /// As written; empty for none.
    pub background: String,
    /// `Left`, `Center` or `Right`; empty for none.
    pub alignment: String,
    /// How many decimals are shown.
    pub decimals: Option<u8>,
}

/// One value of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing.
    Void,
    /// A value. There are no members of enumerations: they are texts.
    Value(Value),
    /// Six or eight hexadecimal digits.
    Colour(String),
    /// A number with its unit, and how far it may be off; only the newest generation has an element for that.
    Measured {
        /// The number.
        value: Value,
        /// Its unit.
        unit: String,
        /// How far it may be off.
        error: Option<Value>,
    },
    /// Anything else.
    Object {
        /// As in MIME.
        content_type: String,
        /// Its bytes.
        base64: String,
    },
}

/// How grave a query's message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum QueryMessageKind {
    #[default]
    Information,
    Warning,
    Error,
    Exception,
}

/// How much a query's message matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MessageLevel {
    #[default]
    Minor,
    Medium,
    Major,
}

const KINDS: [(QueryMessageKind, &str); 4] = [
    (QueryMessageKind::Information, "Information"),
    (QueryMessageKind::Warning, "Warning"),
    (QueryMessageKind::Error, "Error"),
    (QueryMessageKind::Exception, "Exception"),
];

const LEVELS: [(MessageLevel, &str); 3] =
    [(MessageLevel::Minor, "Minor"), (MessageLevel::Medium, "Medium"), (MessageLevel::Major, "Major")];

/// Types of cells, by element; the same names in every generation.
const CELL_TYPES: [(&str, ValueType); 9] = [
    ("boolean", ValueType::Boolean),
    ("date", ValueType::Date),
    ("dateTime", ValueType::Instant),
    ("double", ValueType::Quantity),
    ("duration", ValueType::Duration),
    ("int", ValueType::Int32),
    ("long", ValueType::Int64),
    ("string", ValueType::Text),
    ("time", ValueType::TimeOfDay),
];

fn named<T: Copy + Default + PartialEq>(names: &[(T, &str)], text: Option<&str>) -> T {
    names.iter().find(|(_, name)| Some(*name) == text).map(|(value, _)| *value).unwrap_or_default()
}

fn name_of<T: PartialEq>(names: &[(T, &'static str)], value: T) -> &'static str {
    names.iter().find(|(listed, _)| *listed == value).map_or("", |(_, name)| *name)
}

impl QueryProgress {
    /// Reads a message's payload; none: it is no such payload. Items that make no sense are left out.
    pub fn parse(payload: &Element) -> Option<Self> {
        let dialect = Dialect::from_concentrator_ns(&payload.ns()).filter(|_| payload.name() == "queryProgress")?;
        Some(Self {
            node: node_of(payload, dialect.is_long()),
            query: text_of(payload, "queryId"),
            sequence: payload.attr("seqNr").and_then(|text| text.trim().parse().ok()),
            items: payload.children().filter_map(|item| QueryItem::parse(item, dialect)).collect(),
        })
    }

    /// Writes it.
    pub fn to_element(&self, dialect: Dialect) -> Element {
        let long = dialect.is_long();
        with_node(Tag::new("queryProgress", dialect.concentrator_ns()), &self.node, long)
            .attr("queryId", &self.query)
            .maybe("seqNr", self.sequence.filter(|_| !long).map(|sequence| sequence.to_string()))
            .children(self.items.iter().map(|item| item.to_tag(dialect)))
            .build()
    }
}

impl QueryItem {
    fn parse(item: &Element, dialect: Dialect) -> Option<Self> {
        let text = |name: &str| text_of(item, name);
        Some(match item.name() {
            "queryStarted" => Self::Started,
            "queryDone" => Self::Done,
            "queryAborted" => Self::Aborted,
            "title" => Self::Title(text("name")),
            "status" => Self::Status(text("message")),
            "beginSection" => Self::BeginSection(text("header")),
            "endSection" => Self::EndSection,
            "newTable" => Self::NewTable {
                id: text("tableId"),
                name: text("tableName"),
                columns: item
                    .children()
                    .filter(|child| child.name() == "column")
                    .map(|column| Column::parse(column, dialect))
                    .collect(),
            },
            "newRecords" => Self::NewRecords {
                table: text("tableId"),
                records: item
                    .children()
                    .filter(|child| child.name() == "record")
                    .map(|record| record.children().map(Cell::parse).collect())
                    .collect(),
            },
            "tableDone" => Self::TableDone(text("tableId")),
            "newObject" => Self::NewObject { content_type: text("contentType"), base64: item.text() },
            "queryMessage" => Self::Message {
                kind: named(&KINDS, item.attr("type")),
                level: named(&LEVELS, item.attr("level")),
                text: item.text(),
            },
            _ => return None,
        })
    }

    fn to_tag(&self, dialect: Dialect) -> Tag {
        let ns = dialect.concentrator_ns();
        let tag = |name: &str| Tag::new(name, ns);
        match self {
            Self::Started => tag("queryStarted"),
            Self::Done => tag("queryDone"),
            Self::Aborted => tag("queryAborted"),
            Self::Title(name) => tag("title").attr("name", name),
            Self::Status(message) => tag("status").attr("message", message),
            Self::BeginSection(header) => tag("beginSection").attr("header", header),
            Self::EndSection => tag("endSection"),
            Self::NewTable { id, name, columns } => tag("newTable")
                .attr("tableId", id)
                .attr("tableName", name)
                .children(columns.iter().map(|column| column.to_tag(dialect))),
            Self::NewRecords { table, records } => tag("newRecords").attr("tableId", table).children(
                records.iter().map(|cells| tag("record").children(cells.iter().map(|cell| cell.to_tag(dialect)))),
            ),
            Self::TableDone(table) => tag("tableDone").attr("tableId", table),
            Self::NewObject { content_type, base64 } => tag("newObject").attr("contentType", content_type).text(base64),
            Self::Message { kind, level, text } => tag("queryMessage")
                .attr("type", name_of(&KINDS, *kind))
                .attr("level", name_of(&LEVELS, *level))
                .text(text),
        }
    }
}

impl Column {
    const fn source_names(dialect: Dialect) -> [&'static str; 2] {
        if dialect.is_long() { ["dataSourceId", "cacheTypeName"] } else { ["src", "pt"] }
    }

    fn parse(column: &Element, dialect: Dialect) -> Self {
        let [source, partition] = Self::source_names(dialect);
        Self {
            id: text_of(column, "columnId"),
            header: text_of(column, "header"),
            source: text_of(column, source),
            partition: text_of(column, partition),
            foreground: text_of(column, "fgColor"),
            background: text_of(column, "bgColor"),
            alignment: text_of(column, "alignment"),
            decimals: column.attr("nrDecimals").and_then(|text| text.trim().parse().ok()),
        }
    }

    fn to_tag(&self, dialect: Dialect) -> Tag {
        let [source, partition] = Self::source_names(dialect);
        Tag::new("column", dialect.concentrator_ns())
            .attr("columnId", &self.id)
            .filled("header", &self.header)
            .filled(source, &self.source)
            .filled(partition, &self.partition)
            .filled("fgColor", &self.foreground)
            .filled("bgColor", &self.background)
            .filled("alignment", &self.alignment)
            .maybe("nrDecimals", self.decimals.map(|decimals| decimals.to_string()))
    }
}

impl Cell {
    /// COMPAT: the reference sends quantities and measurements in its own generation too, so they are read in all.
    fn parse(cell: &Element) -> Self {
        let number = |name: &str| cell.attr(name).and_then(|text| lexical::parse(text, ValueType::Quantity));
        match (cell.name(), number("m")) {
            ("void", _) => Self::Void,
            ("base64", _) => {
                Self::Object { content_type: text_of(cell, "contentType"), base64: cell.text().trim().to_owned() }
            }
            ("color", _) => Self::Colour(cell.text().trim().to_owned()),
            ("quantity", Some(value)) => Self::Measured { value, unit: text_of(cell, "u"), error: None },
            ("measurement", Some(value)) => Self::Measured { value, unit: text_of(cell, "u"), error: number("e") },
            (name, _) => {
                let text = cell.text();
                let listed = CELL_TYPES.iter().find(|(listed, _)| *listed == name);
                let value = listed.and_then(|(_, value_type)| lexical::parse(&text, *value_type));
                Self::Value(value.unwrap_or(Value::Text(text)))
            }
        }
    }

    fn to_tag(&self, dialect: Dialect) -> Tag {
        let tag = |name: &str| Tag::new(name, dialect.concentrator_ns());
        match self {
            Self::Void => tag("void"),
            Self::Value(value) => tag(cell_name(value)).text(&lexical::write(value)),
            Self::Colour(digits) => tag("color").text(digits),
            Self::Object { content_type, base64 } => tag("base64").attr("contentType", content_type).text(base64),
            Self::Measured { value, unit, error } if dialect == Dialect::Nfi => {
                let name = if error.is_some() { "measurement" } else { "quantity" };
                tag(name)
                    .attr("m", lexical::write(value))
                    .attr("u", unit)
                    .maybe("e", error.as_ref().map(lexical::write))
            }
            Self::Measured { value, .. } => tag("double").text(&lexical::write(value)),
        }
    }
}

fn cell_name(value: &Value) -> &'static str {
    match value {
        Value::Boolean(_) => "boolean",
        Value::Int32(_) => "int",
        Value::Int64(_) => "long",
        Value::Decimal(_) | Value::Double(_) => "double",
        Value::Text(_) | Value::Member(_) => "string",
        Value::Instant(_) => "dateTime",
        Value::Date(_) => "date",
        Value::TimeOfDay(_) => "time",
        Value::Duration(_) => "duration",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Decimal, Timestamp};

    fn reread(progress: &QueryProgress, dialect: Dialect) -> QueryProgress {
        QueryProgress::parse(&String::from(&progress.to_element(dialect)).parse().unwrap()).unwrap()
    }

    fn everything() -> Vec<QueryItem> {
        let text = str::to_owned;
        let column = Column {
            id: text("c"),
            header: text("C"),
            source: text("home"),
            partition: text("p"),
            foreground: text("000000"),
            background: text("FFFFFF"),
            alignment: text("Right"),
            decimals: Some(2),
        };
        let cells = vec![
            Cell::Void,
            Cell::Colour(text("FF0000")),
            Cell::Object { content_type: text("text/plain"), base64: text("YQ==") },
            Cell::Value(Value::Boolean(true)),
            Cell::Value(Value::Int32(1)),
            Cell::Value(Value::Int64(2)),
            Cell::Value(Value::Decimal(Decimal { digits: 2340, scale: 2 })),
            Cell::Value(Value::Text(text("a < b"))),
            Cell::Value(Value::Instant(Timestamp(1_000_000))),
            Cell::Value(Value::Date(1)),
            Cell::Value(Value::TimeOfDay(1_000_000)),
            Cell::Value(Value::Duration(1_000_000)),
        ];
        vec![
            QueryItem::Started,
            QueryItem::Title(text("T")),
            QueryItem::Status(text("half")),
            QueryItem::BeginSection(text("S")),
            QueryItem::NewTable { id: text("t"), name: text("T"), columns: vec![column, Column::default()] },
            QueryItem::NewRecords { table: text("t"), records: vec![cells, vec![]] },
            QueryItem::TableDone(text("t")),
            QueryItem::NewObject { content_type: text("image/png"), base64: text("AA==") },
            QueryItem::Message { kind: QueryMessageKind::Exception, level: MessageLevel::Major, text: text("Oh.") },
            QueryItem::EndSection,
            QueryItem::Done,
            QueryItem::Aborted,
        ]
    }

    #[test]
    fn everything_is_read_as_it_was_written() {
        for dialect in Dialect::ALL {
            let sequence = (!dialect.is_long()).then_some(7);
            let progress =
                QueryProgress { node: NodeRef::new("n", "s"), query: "q".to_owned(), sequence, items: everything() };
            assert_eq!(reread(&progress, dialect), progress);
        }
    }

    #[test]
    fn only_the_newest_generation_has_units_in_cells() {
        let value = Value::Decimal(Decimal { digits: 15, scale: 1 });
        let measured = |error| Cell::Measured { value: value.clone(), unit: "kWh".to_owned(), error };
        for (dialect, expected) in [
            (Dialect::Nfi, [measured(None), measured(Some(Value::Decimal(Decimal { digits: 1, scale: 1 })))]),
            (Dialect::Nf, [Cell::Value(value.clone()), Cell::Value(value.clone())]),
        ] {
            let cells = vec![measured(None), measured(Some(Value::Decimal(Decimal { digits: 1, scale: 1 })))];
            let items = vec![QueryItem::NewRecords { table: "t".to_owned(), records: vec![cells] }];
            let progress = QueryProgress { node: NodeRef::new("n", ""), query: "q".to_owned(), sequence: None, items };
            let expected = vec![QueryItem::NewRecords { table: "t".to_owned(), records: vec![expected.to_vec()] }];
            assert_eq!(reread(&progress, dialect).items, expected);
        }
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let xml =
            "<queryProgress xmlns='urn:nf:iot:concentrator:1.0' id='a' queryId='q'><odd/><queryDone/></queryProgress>";
        assert_eq!(QueryProgress::parse(&xml.parse().unwrap()).unwrap().items, [QueryItem::Done]);
        assert_eq!(QueryProgress::parse(&"<queryProgress xmlns='other'/>".parse().unwrap()), None);
    }
}
