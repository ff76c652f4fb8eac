//! The ratios over n as SVG, readable on light and on dark pages.

use std::fmt::Write;

use crate::rows::{RATIOS, Ratio, Summary};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 48.0;

/// Powers of ten shown of the ratio.
const LOWEST: f64 = -2.0;
const HIGHEST: f64 = 0.5;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#24292f}.axis{stroke:#8c959f;stroke-width:1}\
.grid{stroke:#8c959f;stroke-width:.5;stroke-dasharray:2 4}.a{stroke:#0969da;fill:#0969da}.b{stroke:#bc4c00;fill:#bc4c00}\
path{fill:none;stroke-width:2}path.a,path.b{fill:none}text.a,text.b{stroke:none}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.a{stroke:#58a6ff;fill:#58a6ff}.b{stroke:#f0883e;fill:#f0883e}path.a,path.b{fill:none}}";

/// Draws our time over GMP's, for the value and for all of its digits; both axes are logarithmic.
pub(crate) fn svg(summaries: &[Summary]) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"our time over GMP's\"><style>{STYLE}</style>\n<text x=\"{LEFT}\" y=\"24\">Our time / GMP's, by n: below 1 is faster</text>\n"
    );
    let range = Range::of(summaries);
    for ratio in [0.01, 0.03, 0.1, 0.3, 1.0, 3.0] {
        let y = height(ratio);
        let class = if ratio == 1.0 { "axis" } else { "grid" };
        let right = WIDTH - RIGHT;
        let _ = writeln!(
            text,
            "<path class=\"{class}\" d=\"M{LEFT} {y:.1}H{right}\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{ratio}</text>",
            LEFT - 8.0,
            y + 4.0
        );
    }
    for summary in summaries {
        let (x, y) = (range.across(summary.n), HEIGHT - BOTTOM + 20.0);
        let _ = writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
            power(summary.n)
        );
    }
    for (class, ratio, name) in [
        ("a", RATIOS[0], "value"),
        ("b", RATIOS[1], "value and all digits"),
    ] {
        line(&mut text, summaries, (class, ratio, name));
    }
    text + "</svg>\n"
}

fn line(text: &mut String, summaries: &[Summary], (class, ratio, name): (&str, Ratio, &str)) {
    let range = Range::of(summaries);
    let points: Vec<(f64, f64)> = summaries
        .iter()
        .map(|summary| (range.across(summary.n), height(summary.ratio(ratio))))
        .collect();
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    let _ = writeln!(text, "<path class=\"{class}\" d=\"M{}\"/>", path.join("L"));
    for ((x, y), summary) in points.iter().zip(summaries) {
        let _ = writeln!(
            text,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{} of n = {}: {:.3}</title></circle>",
            ratio.name,
            summary.n,
            summary.ratio(ratio)
        );
    }
    if let Some((x, y)) = points.last() {
        let _ = writeln!(
            text,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
            y - 10.0
        );
    }
}

/// 10^7 for ten million; others as they are.
fn power(n: u64) -> String {
    let exponent = n.max(1).ilog10();
    if 10u64.pow(exponent) == n {
        format!("10<tspan dy=\"-5\" font-size=\"10\">{exponent}</tspan>")
    } else {
        n.to_string()
    }
}

fn height(ratio: f64) -> f64 {
    let share = (ratio.log10().clamp(LOWEST, HIGHEST) - LOWEST) / (HIGHEST - LOWEST);
    HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
}

/// The logarithms of the smallest and the largest n.
struct Range {
    from: f64,
    to: f64,
}

impl Range {
    fn of(summaries: &[Summary]) -> Self {
        let logarithms = || summaries.iter().map(|summary| logarithm(summary.n));
        Self {
            from: logarithms().fold(f64::INFINITY, f64::min),
            to: logarithms().fold(1.0, f64::max),
        }
    }

    fn across(&self, n: u64) -> f64 {
        let share = (logarithm(n) - self.from) / (self.to - self.from).max(0.1);
        LEFT + 20.0 + share * (WIDTH - LEFT - RIGHT - 40.0)
    }
}

fn logarithm(n: u64) -> f64 {
    (n.max(1) as f64).log10()
}
