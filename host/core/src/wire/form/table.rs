//! Tables in forms of type result: one `<reported>`, then an `<item>` a row (XEP-0004 §3.4).

use minidom::Element;

use super::super::ns;
use super::super::xml::{Tag, escaped, text_of};
use super::values_of;

/// Rows of texts below headings; no columns: no table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Variable and heading of each column.
    pub columns: Vec<(String, String)>,
    /// A text for each column.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[(&str, &str)]) -> Self {
        let columns = columns.iter().map(|(var, label)| ((*var).to_owned(), (*label).to_owned())).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Takes rows as long as all of them come to so many bytes; gives how many are left out.
    pub fn fill(&mut self, rows: impl Iterator<Item = Vec<String>>, bytes: usize) -> usize {
        const CELL: usize = "<field var=''><value></value></field>".len();
        const ITEM: usize = "<item></item>".len();
        let (mut room, mut left_out) = (bytes, 0);
        for row in rows {
            let cell = |((var, _), text): (&(String, String), &String)| CELL + escaped(var) + escaped(text);
            let weight = ITEM + self.columns.iter().zip(&row).map(cell).sum::<usize>();
            if left_out > 0 || weight > room {
                left_out += 1;
                continue;
            }
            room -= weight;
            self.rows.push(row);
        }
        left_out
    }

    pub(super) fn parse(x: &Element) -> Self {
        let fields = |parent: &Element| -> Vec<Element> {
            parent.children().filter(|child| child.is("field", ns::DATA)).cloned().collect()
        };
        let reported = x.get_child("reported", ns::DATA).map(fields).unwrap_or_default();
        let columns: Vec<(String, String)> =
            reported.iter().map(|field| (text_of(field, "var"), text_of(field, "label"))).collect();
        let row = |item: &Element| {
            let fields = fields(item);
            let text = |(var, _): &(String, String)| {
                let field = fields.iter().find(|field| field.attr("var") == Some(var));
                field.map(|field| values_of(field).join("\n")).unwrap_or_default()
            };
            columns.iter().map(text).collect()
        };
        let rows = x.children().filter(|child| child.is("item", ns::DATA)).map(row).collect();
        Self { columns, rows }
    }

    pub(super) fn to_tags(&self) -> Vec<Tag> {
        if self.columns.is_empty() {
            return Vec::new();
        }
        let heading = |(var, label): &(String, String)| {
            Tag::new("field", ns::DATA).attr("var", var).attr("type", "text-single").filled("label", label)
        };
        let reported = Tag::new("reported", ns::DATA).children(self.columns.iter().map(heading));
        std::iter::once(reported).chain(self.rows.iter().map(|row| self.item(row))).collect()
    }

    fn item(&self, row: &[String]) -> Tag {
        let cell = |((var, _), text): (&(String, String), &String)| {
            Tag::new("field", ns::DATA).attr("var", var).child(Tag::new("value", ns::DATA).text(text))
        };
        Tag::new("item", ns::DATA).children(self.columns.iter().zip(row).map(cell))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Form, FormKind};
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let mut table = Table::new(&[("field", "Field"), ("value", "Value")]);
        table.rows =
            vec![vec!["Temperature".to_owned(), "21.50 °C".to_owned()], vec!["Note".to_owned(), String::new()]];
        let form = Form { kind: FormKind::Result, table, ..Form::default() };
        let written: Element = String::from(&form.to_element("")).parse().unwrap();
        assert_eq!(Form::parse(&written), form);
    }

    #[test]
    fn a_table_takes_no_more_than_it_is_given() {
        let mut table = Table::new(&[("a", "")]);
        let rows = || std::iter::repeat_n(vec!["<&>".to_owned()], 10);
        let left_out = table.fill(rows(), 400);
        assert_eq!(table.rows.len() + left_out, 10);
        let written: usize = table.to_tags().into_iter().skip(1).map(|tag| String::from(&tag.build()).len()).sum();
        assert!((1..400 + " xmlns='jabber:x:data'".len() * table.rows.len()).contains(&written));
    }

    #[test]
    fn a_row_without_a_cell_has_an_empty_one() {
        let xml = "<x xmlns='jabber:x:data' type='result'><reported><field var='a'/><field var='b'/></reported>\
                   <item><field var='b'><value>1</value></field><field var='odd'><value>2</value></field></item></x>";
        let table = Form::parse(&xml.parse().unwrap()).table;
        assert_eq!(table.rows, [["".to_owned(), "1".to_owned()]]);
    }
}
