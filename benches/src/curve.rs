//! Seconds against pods, as a table and as a picture.
//!
//! The number of shapes stays as it is while pods grow, so that the curve shows
//! what pods alone cost. Both axes are logarithmic: linear growth is a diagonal.

use std::fmt::Write;

use serde_json::Value;

use crate::run::Workplace;
use crate::{pods, related};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 48.0;
const TOP: f64 = 24.0;
const RIGHT: f64 = 16.0;

struct Series {
    name: &'static str,
    colour: &'static str,
    counts: &'static [usize],
    pods: fn(usize) -> Value,
}

const SERIES: [Series; 2] = [
    Series {
        name: "200 shapes without rules between pods",
        colour: "#0072b2",
        counts: &[1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000],
        pods: |count| pods::shaped(count, 200, 1, false),
    },
    Series {
        name: "spread, affinity and anti-affinity in fifths",
        colour: "#d55e00",
        counts: &[1_000, 2_000, 4_000, 8_000, 16_000, 32_000],
        pods: |count| related::diverse(count, 1, false),
    },
];

/// Measures, prints a table and returns the picture.
pub fn measure(place: &Workplace, types: &Value) -> Result<String, String> {
    let mut measured: Vec<Vec<(f64, f64)>> = Vec::new();
    println!("| pods | {} | {} |\n| --- | --- | --- |", SERIES[0].name, SERIES[1].name);
    for series in &SERIES {
        let mut points = Vec::new();
        for count in series.counts {
            // The better of two: the machine has other things to do.
            let first = place.seconds(&(series.pods)(*count), types)?;
            let second = place.seconds(&(series.pods)(*count), types)?;
            points.push((*count as f64, first.min(second)));
        }
        measured.push(points);
    }
    for count in SERIES[0].counts {
        let at = |points: &[(f64, f64)]| {
            let point = points.iter().find(|(pods, _)| *pods == *count as f64);
            point.map_or_else(|| "–".to_owned(), |(_, seconds)| format!("{seconds:.2} s"))
        };
        println!("| {count} | {} | {} |", at(&measured[0]), at(&measured[1]));
    }
    Ok(picture(&measured))
}

fn picture(measured: &[Vec<(f64, f64)>]) -> String {
    let all = || measured.iter().flatten();
    let decade = |value: f64, up: bool| 10_f64.powf(if up { value.log10().ceil() } else { value.log10().floor() });
    let (least_x, most_x) = (1_000.0, all().map(|p| p.0).fold(1.0, f64::max));
    let least_y = decade(all().map(|p| p.1).fold(f64::INFINITY, f64::min), false);
    let most_y = decade(all().map(|p| p.1).fold(0.0, f64::max), true);
    let share = |value: f64, least: f64, most: f64| (value / least).log10() / (most / least).log10();
    let x = |pods: f64| LEFT + share(pods, least_x, most_x) * (WIDTH - LEFT - RIGHT);
    let y = |seconds: f64| HEIGHT - BOTTOM - share(seconds, least_y, most_y) * (HEIGHT - BOTTOM - TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Seconds to plan against number of pods\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    let mut line = |x1: f64, y1: f64, x2: f64, y2: f64| {
        let _ = writeln!(svg, "<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"#ddd\" fill=\"none\"/>");
    };
    let mut ticks = Vec::new();
    let mut pods = least_x;
    while pods <= most_x * 1.01 {
        line(x(pods), TOP, x(pods), HEIGHT - BOTTOM);
        ticks.push((x(pods), HEIGHT - BOTTOM + 18.0, "middle", format!("{:.0}k", pods / 1000.0)));
        pods *= 2.0;
    }
    let mut seconds = least_y;
    while seconds <= most_y * 1.01 {
        line(LEFT, y(seconds), WIDTH - RIGHT, y(seconds));
        ticks.push((LEFT - 8.0, y(seconds) + 4.0, "end", format!("{seconds} s")));
        seconds *= 10.0;
    }
    // What growing in step with pods would look like.
    let from = least_y * 2.0;
    let end = (least_x * most_y / from).min(most_x);
    let _ = writeln!(
        svg,
        "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#999\" stroke-dasharray=\"4 4\" fill=\"none\"/>",
        x(least_x),
        y(from),
        x(end),
        y(from * end / least_x)
    );
    for (x, y, anchor, text) in ticks {
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#333\">{text}</text>");
    }
    for (index, (series, points)) in SERIES.iter().zip(measured).enumerate() {
        let path: Vec<String> = points.iter().map(|(pods, s)| format!("{:.1} {:.1}", x(*pods), y(*s))).collect();
        let colour = series.colour;
        let _ = writeln!(svg, "<path d=\"M{}\" stroke=\"{colour}\" stroke-width=\"2\" fill=\"none\"/>", path.join("L"));
        for (pods, s) in points {
            let _ = writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(*pods), y(*s));
        }
        let height = TOP + 16.0 + 18.0 * index as f64;
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{height:.1}\" fill=\"#333\">{}</text>",
            LEFT + 14.0,
            height - 4.0,
            LEFT + 24.0,
            series.name
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#333\">pods (dashed: in step with pods)</text>\n</svg>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0
    );
    svg
}
