//! The chart of `docs/reference/advisories.md`.

use anyhow::{Context as _, Result, anyhow};
use lockdown_advisories::Component;
use lockdown_advisories::render::Bar;
use plotters::prelude::*;

const WIDTH: u32 = 760;
const HEIGHT: u32 = 340;
/// Of the room between two years.
const BAR: f64 = 0.36;

/// Days on which a generation rises, two bars for each year; what is conditional stands on top, paler.
pub(crate) fn bumps_by_year(bars: &[Bar]) -> Result<String> {
    let mut svg = String::new();
    draw(bars, &mut svg).map_err(|error| anyhow!("the chart cannot be drawn: {error}"))?;
    if !svg.ends_with('\n') {
        svg.push('\n');
    }
    Ok(svg)
}

fn draw(bars: &[Bar], svg: &mut String) -> Result<()> {
    let first = bars.iter().map(|bar| bar.year).min().context("no bars")?;
    let last = bars.iter().map(|bar| bar.year).max().context("no bars")?;
    let highest = bars.iter().map(|bar| bar.at_most).max().unwrap_or_default();
    // Above the highest bar there is room for the legend.
    let top = f64::from(u32::try_from(highest)?) + 3.0;
    let area = SVGBackend::with_string(svg, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(40)
        .build_cartesian_2d(f64::from(first) - 0.6..f64::from(last) + 0.6, 0.0..top)?;
    let years = usize::try_from(last - first)? + 1;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_labels(years)
        .x_label_formatter(&|year| format!("{year:.0}"))
        .y_labels(highest + 1)
        .y_label_formatter(&|days| format!("{days:.0}"))
        .y_desc("days")
        .draw()?;
    for (component, color, side) in
        [(Component::Xen, RGBColor(31, 94, 153), -BAR), (Component::LinuxDom0, RGBColor(201, 111, 30), 0.0)]
    {
        let mine = bars.iter().filter(|bar| bar.component == component && bar.at_most > 0);
        let mut rectangles = Vec::new();
        for bar in mine {
            let left = f64::from(bar.year) + side;
            let sure = f64::from(u32::try_from(bar.sure)?);
            let at_most = f64::from(u32::try_from(bar.at_most)?);
            rectangles.push(Rectangle::new([(left, 0.0), (left + BAR, sure)], color.filled()));
            rectangles.push(Rectangle::new([(left, sure), (left + BAR, at_most)], color.mix(0.35).filled()));
        }
        chart
            .draw_series(rectangles)?
            .label(format!("{component} (paler: conditional)"))
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled()));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperRight).background_style(WHITE).draw()?;
    area.present()?;
    Ok(())
}
