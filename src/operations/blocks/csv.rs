//! The import file: UTF-8 CSV with a header, read line by line in bounded memory.
//!
//! One line is one record (RFC 4180 but for line breaks inside quotes, which no column here could hold): so the line that
//! is named in a fault is the line that an editor shows, and an endless line is met at its limit. What must stay true: a
//! file that is not of this form is refused whole; only values may be turned away one by one.

use std::io::{self, BufRead, Read as _};
use std::ops::Range;

/// Why a file cannot be read as an import file.
#[derive(Debug, thiserror::Error)]
pub enum CsvFault {
    /// It is not of the form.
    #[error("line {line}: {detail}")]
    Invalid {
        /// The line, the header being 1.
        line: u64,
        /// What is wrong there.
        detail: String,
    },
    /// It could not be read back.
    #[error("the spooled file could not be read: {0}")]
    Read(#[from] io::Error),
}

/// The columns that a file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Msisdn,
    ValidFrom,
    Vanity,
    PriceTier,
}

impl Column {
    const ALL: [Self; 4] = [Self::Msisdn, Self::ValidFrom, Self::Vanity, Self::PriceTier];

    const fn name(self) -> &'static str {
        match self {
            Self::Msisdn => "msisdn",
            Self::ValidFrom => "validFrom",
            Self::Vanity => "vanity",
            Self::PriceTier => "priceTier",
        }
    }
}

/// One record. An optional column that is absent, or empty on this line, is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRow<'a> {
    /// The line, the header being 1.
    pub line: u64,
    /// The mobile number, as written.
    pub msisdn: &'a str,
    /// From when it may be used, as written.
    pub valid_from: Option<&'a str>,
    /// Whether it may be leased as vanity, as written.
    pub vanity: Option<&'a str>,
    /// Its price tier, as written.
    pub price_tier: Option<&'a str>,
}

/// Reads records.
#[derive(Debug)]
pub struct BlockRows<R> {
    source: R,
    most_bytes: usize,
    line: u64,
    raw: Vec<u8>,
    /// The line's fields, quotes taken off, one after the other.
    text: String,
    fields: Vec<Range<usize>>,
    columns: Vec<Column>,
}

impl<R: BufRead> BlockRows<R> {
    /// Reads the header. No line may have more than `most_bytes`.
    ///
    /// # Errors
    /// [`CsvFault`] where the header is not one.
    pub fn open(source: R, most_bytes: usize) -> Result<Self, CsvFault> {
        let mut rows = Self {
            source,
            most_bytes,
            line: 0,
            raw: Vec::new(),
            text: String::new(),
            fields: Vec::new(),
            columns: Vec::new(),
        };
        if !rows.read_line()? {
            rows.line = 1;
            return Err(rows.fault("the file is empty; its first line must name the columns"));
        }
        if let Some(without_bom) = rows.raw.strip_prefix(b"\xef\xbb\xbf") {
            rows.raw = without_bom.to_vec();
        }
        rows.split_line()?;
        rows.name_columns()?;
        Ok(rows)
    }

    fn name_columns(&mut self) -> Result<(), CsvFault> {
        for field in &self.fields {
            let name = &self.text[field.clone()];
            let Some(column) = Column::ALL.into_iter().find(|column| column.name() == name) else {
                let known = Column::ALL.map(Column::name).join(", ");
                return Err(self.fault(&format!("there is no column {:?}; the columns are {known}", shortened(name))));
            };
            if self.columns.contains(&column) {
                return Err(self.fault(&format!("the column {name} is named twice")));
            }
            self.columns.push(column);
        }
        if self.columns.contains(&Column::Msisdn) { Ok(()) } else { Err(self.fault("the column msisdn is missing")) }
    }

    /// The next record, or `None` at the end of the file. Empty lines are passed over.
    ///
    /// # Errors
    /// [`CsvFault`], after which there is nothing more to read.
    pub fn next_row(&mut self) -> Result<Option<BlockRow<'_>>, CsvFault> {
        loop {
            if !self.read_line()? {
                return Ok(None);
            }
            if !self.raw.is_empty() {
                break;
            }
        }
        self.split_line()?;
        if self.fields.len() != self.columns.len() {
            let (found, wanted) = (self.fields.len(), self.columns.len());
            return Err(self.fault(&format!("{found} fields under a header of {wanted}")));
        }
        let mut row = BlockRow { line: self.line, msisdn: "", valid_from: None, vanity: None, price_tier: None };
        for (column, field) in self.columns.iter().zip(&self.fields) {
            let value = &self.text[field.clone()];
            let optional = (!value.is_empty()).then_some(value);
            match column {
                Column::Msisdn => row.msisdn = value,
                Column::ValidFrom => row.valid_from = optional,
                Column::Vanity => row.vanity = optional,
                Column::PriceTier => row.price_tier = optional,
            }
        }
        Ok(Some(row))
    }

    /// Reads one line into `raw`, without its end; `false` at the end of the file.
    fn read_line(&mut self) -> Result<bool, CsvFault> {
        self.raw.clear();
        let most = u64::try_from(self.most_bytes).unwrap_or(u64::MAX);
        let with_its_end = most.saturating_add(2);
        if self.source.by_ref().take(with_its_end).read_until(b'\n', &mut self.raw)? == 0 {
            return Ok(false);
        }
        self.line += 1;
        if self.raw.last() == Some(&b'\n') {
            self.raw.pop();
            if self.raw.last() == Some(&b'\r') {
                self.raw.pop();
            }
        }
        if self.raw.len() > self.most_bytes {
            return Err(self.fault(&format!("longer than {} bytes", self.most_bytes)));
        }
        Ok(true)
    }

    /// Takes `raw` apart into fields.
    fn split_line(&mut self) -> Result<(), CsvFault> {
        self.text.clear();
        self.fields.clear();
        let Ok(line) = std::str::from_utf8(&self.raw) else {
            return Err(self.fault("not UTF-8"));
        };
        if line.contains('"') {
            split_quoted(line, &mut self.text, &mut self.fields).map_err(|detail| self.fault(detail))
        } else {
            self.text.push_str(line);
            let mut start = 0;
            for field in line.split(',') {
                self.fields.push(start..start + field.len());
                start += field.len() + 1;
            }
            Ok(())
        }
    }

    fn fault(&self, detail: &str) -> CsvFault {
        CsvFault::Invalid { line: self.line, detail: detail.to_owned() }
    }
}

/// A line with quotes in it: fields may be quoted, with `""` for a quote.
fn split_quoted(line: &str, text: &mut String, fields: &mut Vec<Range<usize>>) -> Result<(), &'static str> {
    let mut rest = Some(line);
    while let Some(field) = rest {
        let start = text.len();
        rest = if let Some(mut quoted) = field.strip_prefix('"') {
            loop {
                let (inside, after) = quoted.split_once('"').ok_or("a quoted field does not end on its line")?;
                text.push_str(inside);
                match after.strip_prefix('"') {
                    Some(more) => {
                        text.push('"');
                        quoted = more;
                    }
                    None if after.is_empty() => break None,
                    None => break Some(after.strip_prefix(',').ok_or("something follows a closing quote")?),
                }
            }
        } else {
            let (plain, after) = field.split_once(',').map_or((field, None), |(plain, after)| (plain, Some(after)));
            if plain.contains('"') {
                return Err("a quote inside a field that does not begin with one");
            }
            text.push_str(plain);
            after
        };
        fields.push(start..text.len());
    }
    Ok(())
}

fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 64;

    type OwnedRow = (u64, String, Option<String>, Option<String>, Option<String>);

    fn read(file: &[u8]) -> Result<Vec<OwnedRow>, (u64, String)> {
        let told = |fault| match fault {
            CsvFault::Invalid { line, detail } => (line, detail),
            CsvFault::Read(error) => panic!("{error}"),
        };
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        let mut rows = BlockRows::open(file, MOST).map_err(told)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next_row().map_err(told)? {
            all.push((row.line, row.msisdn.into(), owned(row.valid_from), owned(row.vanity), owned(row.price_tier)));
        }
        Ok(all)
    }

    fn plain(line: u64, msisdn: &str) -> OwnedRow {
        (line, msisdn.into(), None, None, None)
    }

    #[test]
    fn line_ends_bom_and_empty_lines_mean_nothing() {
        let wanted = Ok(vec![plain(2, "+93701"), plain(3, "+93702")]);
        for file in [
            "msisdn\n+93701\n+93702\n",
            "msisdn\n+93701\n+93702",
            "msisdn\r\n+93701\r\n+93702\r\n",
            "\u{feff}msisdn\n+93701\n+93702\n\n\n",
            "\u{feff}\"msisdn\"\r\n\"+93701\"\r\n+93702\r\n\r\n",
        ] {
            assert_eq!(read(file.as_bytes()), wanted, "{file:?}");
        }
        assert_eq!(read(b"msisdn\n\n\n+93701\n"), Ok(vec![plain(4, "+93701")]), "lines are counted as an editor does");
        assert_eq!(read(b"msisdn\n"), Ok(vec![]));
    }

    #[test]
    fn columns_come_in_any_order() {
        let file =
            "priceTier,msisdn,vanity,validFrom\ngold,+93701,true,2026-05-01\n,+93702,,\n\"go,\"\"ld\",+93703,\"\",x\n";
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            read(file.as_bytes()),
            Ok(vec![
                (2, "+93701".into(), some("2026-05-01"), some("true"), some("gold")),
                plain(3, "+93702"),
                (4, "+93703".into(), some("x"), None, some("go,\"ld")),
            ])
        );
    }

    #[test]
    fn values_are_left_as_they_are() {
        for value in [" +93701", "+93701 ", "+93701\t", "۰۷۰", "+93701\r", "'+93701", "\0", "+93701;x"] {
            let file = format!("msisdn,vanity\n{value},\n");
            assert_eq!(read(file.as_bytes()), Ok(vec![plain(2, value)]), "{value:?}");
        }
    }

    #[test]
    fn what_is_not_of_the_form_is_refused_with_its_line() {
        let long = format!("msisdn\n+93701\n{}\n", "7".repeat(MOST + 1));
        let endless = format!("msisdn\n{}", "7".repeat(1 << 20));
        let long_header = format!("{}\n", "m".repeat(MOST + 1));
        let cases: [(&[u8], u64, &str); 22] = [
            (b"", 1, "the file is empty"),
            (b"\n", 1, "there is no column \"\""),
            (b"\nmsisdn\n", 1, "there is no column \"\""),
            (b"+93701234567\n", 1, "there is no column \"+93701234567\""),
            (b"msisdn,colour\n", 1, "there is no column \"colour\""),
            (b"MSISDN\n", 1, "there is no column \"MSISDN\""),
            (b"msisdn \n", 1, "there is no column"),
            (b"msisdn;vanity\n", 1, "there is no column"),
            (b"msisdn,msisdn\n", 1, "named twice"),
            (b"vanity,msisdn,vanity\n", 1, "named twice"),
            (b"vanity,validFrom\n", 1, "msisdn is missing"),
            (b"msisdn,\n", 1, "there is no column \"\""),
            (b"\xff\xfem\0s\0i\0", 1, "not UTF-8"),
            (b"msisdn\n+93701\n+9370\xff\n", 3, "not UTF-8"),
            (b"msisdn,vanity\n+93701\n", 2, "1 fields under a header of 2"),
            (b"msisdn,vanity\n+93701,true\n+93701,true,\n", 3, "3 fields under a header of 2"),
            (b"msisdn\n\"+93701\n\"\n", 2, "does not end"),
            (b"msisdn\n\"+93701\"x\n", 2, "follows a closing quote"),
            (b"msisdn\n+93\"701\"\n", 2, "a quote inside"),
            (long.as_bytes(), 3, "longer than 64 bytes"),
            (endless.as_bytes(), 2, "longer than 64 bytes"),
            (long_header.as_bytes(), 1, "longer than 64 bytes"),
        ];
        for (file, line, detail) in cases {
            let (at, said) = read(file).unwrap_err();
            assert!(at == line && said.contains(detail), "{:?}: line {at}: {said}", String::from_utf8_lossy(file));
        }
    }

    #[test]
    fn a_line_of_just_the_limit_is_read() {
        let value = "7".repeat(MOST);
        for end in ["", "\n", "\r\n"] {
            assert_eq!(read(format!("msisdn\n{value}{end}").as_bytes()), Ok(vec![plain(2, &value)]), "{end:?}");
        }
    }
}
