//! Browsing (US-NUM-014): the first page and one from the middle, by each filter, on a large inventory and on a hundredth of it.

use std::time::Instant;

use anyhow::Context as _;
use numbering::http::cursor::Cursors;

use crate::events::quantile;
use crate::figures::{Figure, Quantity};
use crate::rest::Rest;
use crate::seed;
use crate::stand::{CURSOR_KEY, Stand};

/// Pages that are asked for of each kind, and of those that search through many numbers.
const PAGES: usize = 250;
const SEARCHED_PAGES: usize = 60;
/// Pages of each kind before anything is counted.
const WARM_UP: usize = 10;
/// From the middle of one page that is asked for to the next.
const NUMBERS_APART: u64 = 1_003;

/// A filter as it stands in the query.
struct Filter {
    name: &'static str,
    operator: &'static str,
    prefix: &'static str,
    vanity: &'static str,
    pattern: &'static str,
    /// Where the middle of what it finds is.
    middle: u64,
    pages: usize,
}

const ANY: Filter =
    Filter { name: "class", operator: "", prefix: "", vanity: "", pattern: "", middle: 705_000_000, pages: PAGES };

const FILTERS: [Filter; 6] = [
    ANY,
    Filter { name: "operator", operator: "roshan", ..ANY },
    Filter { name: "prefix", prefix: "93705", middle: 705_500_000, ..ANY },
    Filter { name: "vanity", vanity: "true", ..ANY },
    Filter { name: "pattern 93705*", pattern: "93705*", middle: 705_500_000, ..ANY },
    Filter { name: "pattern *77", pattern: "*77", pages: SEARCHED_PAGES, ..ANY },
];

impl Filter {
    fn path(&self, page: Option<&str>) -> String {
        let mut path = "/v1/numbers/available?identifierClass=MSISDN".to_owned();
        let given = [
            ("operatorId", self.operator),
            ("prefix", self.prefix),
            ("vanity", self.vanity),
            ("pattern", self.pattern),
            ("page", page.unwrap_or_default()),
        ];
        for (name, value) in given.iter().filter(|(_, value)| !value.is_empty()) {
            path.extend(["&", name, "=", value]);
        }
        path
    }

    /// The cursor of a page near the middle, sealed as the service seals it.
    fn cursor(&self, cursors: &Cursors, tenant: &str, number: u64) -> String {
        let bound_to = [tenant, "available", "MSISDN", self.operator, self.prefix, self.vanity, self.pattern];
        cursors.seal(&bound_to, &format!("+93{}", self.middle + number * NUMBERS_APART))
    }
}

pub(crate) async fn run(stand: &mut Stand) -> anyhow::Result<Vec<Figure>> {
    let whole = stand.sizes.inventory;
    let (large, small) = (stand.inventory(whole).await?, stand.inventory(whole / 100).await?);
    let (of_large, of_small) = (stand.replica(&large, &[]).await?, stand.replica(&small, &[]).await?);
    let tenant = seed::tenant(0);
    let token = stand.issuer.tenant(&tenant)?;
    let mut large = Rest::connect(of_large.http, &token).await?;
    let mut small = Rest::connect(of_small.http, &token).await?;
    let cursors = Cursors::new(&hex::decode(CURSOR_KEY)?);
    let mut figures = Vec::new();
    for filter in &FILTERS {
        for deep in [false, true] {
            let (mut in_large, mut in_small) = (Vec::new(), Vec::new());
            for number in 0..WARM_UP + filter.pages {
                let page = deep.then(|| filter.cursor(&cursors, &tenant, u64::try_from(number).unwrap_or_default()));
                let path = filter.path(page.as_deref());
                in_small.push(asked(&mut small, &path).await?);
                in_large.push(asked(&mut large, &path).await?);
            }
            in_small.drain(..WARM_UP);
            in_large.drain(..WARM_UP);
            let p95 = |seconds| Quantity::seconds(quantile(seconds, 95));
            let what = format!("{}, {}, p95", filter.name, if deep { "middle" } else { "first page" });
            let figure = Figure::told(what, p95(in_large));
            figures.push(figure.beside(p95(in_small), "hundredth").times_at_most(1.2));
        }
    }
    of_large.stop().await;
    of_small.stop().await;
    Ok(figures)
}

/// How long a page takes, in seconds. It is not empty.
async fn asked(rest: &mut Rest, path: &str) -> anyhow::Result<f64> {
    let began = Instant::now();
    let page = rest.get(path).await.context("browsing fails")?;
    let seconds = began.elapsed().as_secs_f64();
    anyhow::ensure!(page.windows(12).any(|text| text == b"\"identifier\""), "{path} finds nothing");
    Ok(seconds)
}
