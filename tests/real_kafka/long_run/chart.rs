//! The long run as a picture: a panel for each quantity over the same minutes, and a line where a fault began.

use super::samples::Row;
use crate::flames::Kind;
use std::fmt::Write as _;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 60.0;
const PANEL: f64 = 120.0;
const BETWEEN: f64 = 36.0;
/// More points than that cannot be seen.
const POINTS: usize = 450;

const KINDS: [(Kind, &str); 5] = [
    (Kind::Kill, "#dc2626"),
    (Kind::FreezeLong, "#7c3aed"),
    (Kind::MoveLeaders, "#059669"),
    (Kind::Terminate, "#d97706"),
    (Kind::FreezeShortly, "#a5b4fc"),
];

struct Panel {
    title: &'static str,
    log: bool,
    lines: Vec<(&'static str, Vec<f64>)>,
}

/// The largest of each group of `group` rows, which hides no spike. Rows without a value are NaN, and left out.
fn largest(rows: &[Row], group: usize, of: impl Fn(&Row) -> f64) -> Vec<f64> {
    rows.chunks(group).map(|rows| rows.iter().map(&of).fold(f64::NAN, f64::max)).collect()
}

fn mean(rows: &[Row], group: usize, of: impl Fn(&Row) -> f64) -> Vec<f64> {
    rows.chunks(group).map(|rows| rows.iter().map(&of).sum::<f64>() / rows.len() as f64).collect()
}

fn panels(rows: &[Row], group: usize) -> Vec<Panel> {
    let line = |of: fn(&Row) -> f64| largest(rows, group, of);
    let latency = |at: usize| largest(rows, group, |row| row.latency.map_or(f64::NAN, |l| l[at]));
    let rate = mean(rows, group, |row| row.acknowledged as f64);
    let panel = |title, log, lines| Panel { title, log, lines };
    vec![
        panel("acknowledged records per second", false, vec![("#3b6ea5", rate)]),
        panel(
            "latency in ms: p50 (blue), p99 (orange)",
            true,
            vec![("#c2410c", latency(1)), ("#3b6ea5", latency(0))],
        ),
        panel(
            "resident memory in MiB",
            false,
            vec![("#3b6ea5", line(|row| row.resident_kib as f64 / 1024.0))],
        ),
        panel("threads", false, vec![("#3b6ea5", line(|row| row.threads as f64))]),
        panel("open sockets", false, vec![("#3b6ea5", line(|row| row.sockets as f64))]),
    ]
}

/// The chart as an SVG document.
pub(crate) fn draw(rows: &[Row], rate: u64) -> String {
    let group = rows.len().div_ceil(POINTS).max(1);
    let panels = panels(rows, group);
    let height = TOP + panels.len() as f64 * (PANEL + BETWEEN) + 30.0;
    let x = |second: f64| LEFT + second / (rows.len().max(2) - 1) as f64 * (WIDTH - LEFT - RIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <title>A long run under fire</title>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"16\" font-weight=\"600\" fill=\"#111827\">{} s under fire, \
         {rate} records of 1,000 bytes a second</text>\n",
        rows.len(),
    );
    let mut at = 12.0;
    for (kind, colour) in KINDS {
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} 36v12\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"46\" fill=\"#6b7280\">{kind}</text>",
            at + 6.0
        );
        at += 150.0;
    }
    for (number, panel) in panels.iter().enumerate() {
        let top = TOP + number as f64 * (PANEL + BETWEEN) + 20.0;
        for (kind, colour) in KINDS {
            let begins = rows.iter().enumerate().filter(|(_, row)| row.fault == Some(kind));
            let marks: String =
                begins.map(|(second, _)| format!("M{:.1} {top:.1}v{PANEL}", x(second as f64))).collect();
            let _ = writeln!(svg, "<path d=\"{marks}\" stroke=\"{colour}\" stroke-opacity=\"0.5\"/>");
        }
        draw_panel(&mut svg, panel, top, &|point| x((point * group) as f64));
    }
    let bottom = height - 12.0;
    for minute in (0..=rows.len() / 60).step_by((rows.len() / 600).max(1)) {
        let at = x((minute * 60) as f64);
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{bottom:.1}\" text-anchor=\"middle\" fill=\"#6b7280\">{minute} min</text>"
        );
    }
    svg + "</svg>\n"
}

fn draw_panel(svg: &mut String, panel: &Panel, top: f64, x: &dyn Fn(usize) -> f64) {
    let values = panel.lines.iter().flat_map(|(_, values)| values).copied();
    let most = values.fold(1.0, f64::max);
    // Of a logarithmic panel the least that is shown is 0.1.
    let share = |value: f64| {
        if panel.log {
            ((value.max(0.1) / 0.1).ln() / (most.max(1.0) / 0.1).ln()).clamp(0.0, 1.0)
        } else {
            value / (most * 1.05)
        }
    };
    let y = |value: f64| top + PANEL * (1.0 - share(value));
    let _ = writeln!(
        svg,
        "<text x=\"12\" y=\"{:.1}\" font-weight=\"600\" fill=\"#111827\">{}</text>\n\
         <rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{PANEL}\" fill=\"none\" stroke=\"#d1d5db\"/>",
        top - 6.0,
        panel.title,
        WIDTH - LEFT - RIGHT,
    );
    let ticks =
        if panel.log { vec![0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0] } else { vec![0.0, most / 2.0, most] };
    for tick in ticks.into_iter().filter(|tick| *tick <= most) {
        let text = if tick == 0.1 { "0.1".to_owned() } else { format!("{tick:.0}") };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#6b7280\">{text}</text>",
            LEFT - 6.0,
            y(tick) + 4.0,
        );
    }
    for (colour, values) in &panel.lines {
        let mut path = String::new();
        let mut pen = 'M';
        for (i, value) in values.iter().enumerate() {
            if value.is_nan() {
                pen = 'M';
                continue;
            }
            let _ = write!(path, "{pen}{:.1} {:.1}", x(i), y(*value));
            pen = 'L';
        }
        let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.2\"/>");
    }
}
