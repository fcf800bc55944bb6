use super::*;
use crate::sample::{Process, TopList};

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
                    \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n";

/// A document of these entries and an `elapsed_ns` of 100 ms after them.
fn wrapped(entries: &[u8]) -> Vec<u8> {
    [HEAD.as_bytes(), entries, b"<key>elapsed_ns</key><integer>100000000</integer>\n</dict>\n</plist>\n"]
        .concat()
}

fn read(entries: &str) -> Reading {
    read_as(entries, &OwnPids::default())
}

fn read_as(entries: &str, own: &OwnPids) -> Reading {
    decode(&wrapped(entries.as_bytes()), own).unwrap().reading
}

fn row(pid: i32, name: &str, cpu: &str) -> String {
    format!(
        "<dict>\n<key>pid</key><integer>{pid}</integer>\n<key>name</key><string>{name}</string>\n\
         <key>cputime_ms_per_s</key><real>{cpu}</real>\n</dict>\n"
    )
}

fn tasks(rows: &[String]) -> String {
    format!("<key>tasks</key>\n<array>\n{}</array>\n", rows.concat())
}

fn named(list: &TopList) -> Vec<(i32, &str, f64)> {
    list.as_slice().iter().map(|Process { pid, name, value }| (*pid, name.as_str(), *value)).collect()
}

#[test]
fn an_empty_document_reports_nothing_but_its_interval() {
    assert_eq!(read(""), Reading { elapsed_ns: 100_000_000, ..Reading::default() });
}

#[test]
fn a_document_without_a_positive_interval_is_incomplete() {
    for elapsed in [
        "",
        "<key>elapsed_ns</key><integer>0</integer>",
        "<key>elapsed_ns</key><integer>-5</integer>",
        "<key>elapsed_ns</key><real>nan</real>",
        "<key>elapsed_ns</key><string>5</string>",
        "<key>elapsed_ns</key><integer>18446744073709551615</integer>",
        "<key>elapsed_ns</key><true/><key>elapsed_ns</key><integer>5</integer>",
    ] {
        let document = format!("<plist><dict>{elapsed}</dict></plist>");
        assert_eq!(decode(document.as_bytes(), &OwnPids::default()), Err(Reject::Incomplete), "{elapsed}");
    }
    let real = b"<plist><dict><key>elapsed_ns</key><real>1.02002e+08</real></dict></plist>";
    assert_eq!(decode(real, &OwnPids::default()).unwrap().reading.elapsed_ns, 102_002_000);
}

#[test]
fn a_document_with_nothing_in_it_is_incomplete_and_one_that_goes_on_behind_it_is_malformed() {
    let decoded = |document: &str| decode(document.as_bytes(), &OwnPids::default()).map(drop);
    assert_eq!(decoded("<plist version=\"1.0\"><dict/></plist>"), Err(Reject::Incomplete));
    assert_eq!(decoded("<plist version=\"1.0\"><dict></dict></plist>"), Err(Reject::Incomplete));
    assert_eq!(decoded("<plist version=\"1.0\"><dict/><dict></plist>"), Err(Reject::Malformed));
}

#[test]
fn key_and_value_may_stand_apart_and_tags_may_hold_white_space() {
    let reading = read(
        "<key >disk</key ><dict foo=\"</dict>\">\n<key>rbytes_per_s</key>\n\n\t<real>\n5.5 </real >\
         <!-- <key>wbytes_per_s</key><real>1</real> --><key>wbytes_per_s</key><integer>7</integer></dict >",
    );
    assert_eq!(reading.metrics.io_per_s(), Some(12.5));
}

#[test]
fn brackets_hide_an_angle_in_a_declaration_and_nowhere_else() {
    let entries = "<dict x=[<\"1.0\"><key>elapsed_ns</key><integer>5</integer></dict>";
    let document = format!("<!DOCTYPE plist [ <!ENTITY a \"b\"> ]><plist>{entries}</plist>");
    assert_eq!(decode(document.as_bytes(), &OwnPids::default()).unwrap().reading.elapsed_ns, 5);
}

#[test]
fn keys_may_be_written_with_entities_and_comments() {
    let reading =
        read("<key>di<!-- x -->s&#107;</key><dict><key>rbytes&#x5f;per_s</key><real>&#53;</real></dict>");
    assert_eq!(reading.metrics.io_read_per_s, Some(5.0));
}

#[test]
fn unknown_keys_are_skipped_whole_however_deep() {
    let deep =
        format!("{}{}", "<dict><key>tasks</key><array>".repeat(20_000), "</array></dict>".repeat(20_000));
    let reading = read(&format!(
        "<key>my_tasks</key><array><dict><key>pid</key><integer>1</integer></dict></array>\
         <key>deep</key>{deep}\
         <key>odd</key><unheard><of x='y'/></unheard><key>data</key><data>AAAA</data><key>t</key><true></true>\
         <key>empty</key><dict/><key>empty</key><array /><key>empty</key><string/><key/><false/>{}",
        tasks(&[row(7, "a", "3")])
    ));
    assert_eq!(named(&reading.top_cpu), [(7, "a", 3.0)]);
}

#[test]
fn markup_in_what_is_skipped_does_not_end_it() {
    for inside in [
        "<!-- </dict></array> -->",
        "<key>s</key><string><![CDATA[</dict></array>]]></string>",
        "<?x </dict> ?>",
        "<key>s</key><dict /><key>t</key><array/><key>u</key><dict >\n</dict >",
        "<key>s</key><string>dict&gt; &lt;/dict&gt; array!?</string><key>dict</key><true/>",
        "<key>s</key><string>raw < and </string>",
    ] {
        let reading = read(&format!(
            "<key>a</key><dict>{inside}</dict><key>b</key><array><dict>{inside}</dict></array>{}",
            tasks(&[row(7, "a", "3")])
        ));
        assert_eq!(named(&reading.top_cpu), [(7, "a", 3.0)], "{inside}");
    }
}

#[test]
fn text_that_looks_like_keys_is_text() {
    let reading = read(&tasks(&[row(
        7,
        "&lt;key&gt;pid&lt;/key&gt;<![CDATA[<key>pid</key><integer>9</integer></dict>]]>",
        "3",
    )]));
    let name = "<key>pid</key><key>pid</key><integer>9</integer></dict>";
    assert_eq!(named(&reading.top_cpu), [(7, name, 3.0)]);
}

#[test]
fn of_duplicate_keys_the_first_counts_at_every_level() {
    let reading = read(
        "<key>processor</key><dict><key>cpu_power</key><real>nan</real><key>cpu_power</key><real>2</real>\
         <key>gpu_power</key><real>3</real><key>gpu_power</key><real>4</real></dict>\
         <key>processor</key><dict><key>ane_power</key><real>9</real></dict>\
         <key>tasks</key><array><dict><key>pid</key><integer>1</integer><key>pid</key><integer>2</integer>\
         <key>cputime_ms_per_s</key><real>5</real><key>cputime_ms_per_s</key><dict/></dict></array>\
         <key>tasks</key><array><dict><key>cputime_ms_per_s</key><real>50</real></dict></array>",
    );
    assert_eq!(reading.metrics.cpu_power_mw, None);
    assert_eq!(reading.metrics.gpu_power_mw, Some(3.0));
    assert_eq!(reading.metrics.ane_power_mw, None);
    assert_eq!(reading.metrics.cpu_ms_per_s, Some(5.0));
    assert_eq!(named(&reading.top_cpu), [(1, "?", 5.0)]);
}

#[test]
fn a_key_that_comes_last_in_a_row_is_read_too() {
    let reading = read(
        "<key>tasks</key><array><dict><key>name</key><string>a</string><key>x</key><array><dict/></array>\
         <key>pageins_per_s</key><real>1</real><key>pageins_per_s</key><real>9</real>\
         <key>diskio_bytesread_per_s</key><real>2</real><key>diskio_byteswritten_per_s</key><real>3</real>\
         <key>idle_wakeups_per_s</key><real>4</real><key>intr_wakeups_per_s</key><real>5</real>\
         <key>cputime_ms_per_s</key><real>6</real><key>qos</key><dict><key>dict</key><dict/></dict>\
         <key>pid</key><integer>7</integer><key>pid</key><integer>8</integer></dict></array>",
    );
    assert_eq!(named(&reading.top_pageins), [(7, "a", 1.0)]);
    assert_eq!(named(&reading.top_diskio), [(7, "a", 5.0)]);
    assert_eq!(named(&reading.top_idle_wakeups), [(7, "a", 4.0)]);
    assert_eq!(named(&reading.top_intr_wakeups), [(7, "a", 5.0)]);
    assert_eq!(named(&reading.top_cpu), [(7, "a", 6.0)]);
}

#[test]
fn rows_that_are_written_alike_and_rows_that_are_not_are_read_alike() {
    let cpu = "<key>cputime_ms_per_s</key><real>";
    let reading = read(&format!(
        "<key>tasks</key><array>\
         <dict><key>pid</key><integer>1</integer><key>x</key><integer>9</integer>{cpu}1</real></dict>\
         <dict><key>pid</key><integer>2</integer><key>x</key><integer>&#57;</integer>{cpu}&#50;</real></dict>\
         <dict><key>pid</key><real>3</real>{cpu}3</real><key>x</key><integer>9</integer></dict>\
         <dict><key>pid</key><real>4<!-- --></real>{cpu}4</real>{cpu}9</real></dict>\
         <dict>{cpu}5</real>{cpu}9</real>{cpu}9</real><key>pid</key><integer>5</integer></dict>\
         <dict>{cpu}6</real><key>pid</key><array><dict/></array><key>pid</key><integer>9</integer></dict></array>",
    ));
    assert_eq!(
        named(&reading.top_cpu),
        [(5, "?", 5.0), (4, "?", 4.0), (3, "?", 3.0), (2, "?", 2.0), (1, "?", 1.0)]
    );
    assert_eq!(reading.metrics.cpu_ms_per_s, Some(21.0));
}

#[test]
fn dead_tasks_count_and_all_tasks_never_does() {
    let reading = read(&format!(
        "{}<key>all_tasks</key>{}",
        tasks(&[row(-1, "DEAD_TASKS", "4"), row(-2, "ALL_TASKS", "100"), row(0, "kernel_task", "5")]),
        row(-2, "ALL_TASKS", "100")
    ));
    assert_eq!(reading.metrics.cpu_ms_per_s, Some(9.0));
    assert_eq!(named(&reading.top_cpu), [(0, "kernel_task", 5.0), (-1, "DEAD_TASKS", 4.0)]);
}

#[test]
fn coalition_rows_never_count_but_their_tasks_do() {
    let coalition = |pid, cpu| {
        format!(
            "<dict><key>pid</key><integer>90</integer><key>name</key><string>whole</string>\
             <key>cputime_ms_per_s</key><real>1000</real>{}{}</dict>",
            tasks(&[row(pid, "part", cpu)]),
            tasks(&[row(99, "twice", "1000")]),
        )
    };
    let reading = read(&format!(
        "<key>coalitions</key><array>{}{}<array/><true/></array>",
        coalition(1, "2"),
        coalition(2, "3")
    ));
    assert_eq!(reading.metrics.cpu_ms_per_s, Some(5.0));
    assert_eq!(named(&reading.top_cpu), [(2, "part", 3.0), (1, "part", 2.0)]);
}

#[test]
fn tasks_shown_twice_count_once() {
    let flat = tasks(&[row(1, "a", "2")]);
    let none = tasks(&[row(-2, "ALL_TASKS", "2")]);
    let nested = format!("<key>coalitions</key><array><dict>{}</dict></array>", tasks(&[row(1, "a", "3")]));
    for (entries, cpu) in [
        (format!("{flat}{nested}"), 2.0),
        (format!("{nested}{flat}"), 2.0),
        (format!("{none}{nested}"), 3.0),
        (format!("{nested}{none}"), 3.0),
        (format!("{nested}<key>tasks</key><array><dict/></array>"), 3.0),
        (format!("<key>tasks</key><array><dict></dict></array>{nested}"), 3.0),
    ] {
        let reading = read(&entries);
        assert_eq!(reading.metrics.cpu_ms_per_s, Some(cpu), "{entries}");
        assert_eq!(named(&reading.top_cpu), [(1, "a", cpu)]);
    }
}

#[test]
fn our_own_processes_are_in_the_sums_but_in_no_list() {
    let own = OwnPids { monitor: 10, sampler: [20, 21, 0, 0] };
    let rows = tasks(&[
        row(10, "pause-monitor", "1"),
        row(20, "sudo", "2"),
        row(21, "powermetrics", "180.5"),
        row(0, "kernel_task", "30"),
        row(30, "other", "4"),
    ]);
    let reading = read_as(&rows, &own);
    assert_eq!(reading.metrics.cpu_ms_per_s, Some(217.5));
    assert_eq!(reading.sampler_cpu_ms_per_s, Some(182.5));
    assert_eq!(named(&reading.top_cpu), [(0, "kernel_task", 30.0), (30, "other", 4.0)]);
    assert_eq!(read(&rows).sampler_cpu_ms_per_s, None, "no child, no row of it");
}

#[test]
fn sums_of_what_no_task_reports_are_not_reported() {
    let reading = read(&tasks(&[row(1, "a", "nan"), row(2, "b", "-1"), row(3, "c", "inf")]));
    assert_eq!(reading.metrics, Metrics::default());
    assert_eq!(named(&reading.top_cpu), []);
    let huge = read(&tasks(&[row(1, "a", "1e308"), row(2, "b", "1e308")]));
    assert_eq!(huge.metrics.cpu_ms_per_s, None, "nonsense is no measurement");
    assert_eq!(named(&huge.top_cpu), []);
}

#[test]
fn a_row_without_a_pid_is_in_the_sums_but_in_no_list() {
    let reading =
        read("<key>tasks</key><array><dict><key>cputime_ms_per_s</key><real>3</real></dict></array>");
    assert_eq!(reading.metrics.cpu_ms_per_s, Some(3.0));
    assert_eq!(named(&reading.top_cpu), []);
}

#[test]
fn the_busiest_of_several_gpus_is_reported() {
    let gpu = |ratio: &str| format!("<dict><key>idle_ratio</key><real>{ratio}</real></dict>");
    let busy = |value: &str| read(&format!("<key>gpu</key>{value}")).metrics.gpu_busy_pct;
    assert_eq!(busy(&gpu("0.25")), Some(75.0));
    assert_eq!(busy(&gpu("1.5")), Some(0.0));
    assert_eq!(busy(&gpu("-0.5")), None);
    assert_eq!(
        busy(&format!("<array>{}<dict/>{}{}</array>", gpu("0.75"), gpu("0.5"), gpu("nan"))),
        Some(50.0)
    );
    assert_eq!(busy("<array/>"), None);
    assert_eq!(busy("<string>none</string>"), None);
}

#[test]
fn package_watts_stand_in_for_a_missing_combined_power() {
    let power = |entries: &str| {
        read(&format!("<key>processor</key><dict>{entries}</dict>")).metrics.combined_power_mw
    };
    let watts = "<key>package_watts</key><real>2.5</real>";
    let packages = format!("<key>packages</key><array><dict>{watts}</dict><dict>{watts}</dict></array>");
    assert_eq!(power(watts), Some(2500.0));
    assert_eq!(power(&packages), Some(5000.0));
    assert_eq!(power(&format!("{packages}{watts}")), Some(2500.0), "the dict's own is the whole");
    assert_eq!(power(&format!("{watts}<key>combined_power</key><real>7</real>")), Some(7.0));
    assert_eq!(power(&format!("{watts}<key>combined_power</key><real>nan</real>")), Some(2500.0));
    assert_eq!(power("<key>package_watts</key><real>1e308</real>"), None);
}

#[test]
fn what_is_known_of_the_machine_is_read() {
    let document = wrapped(
        b"<key>hw_model</key><string>Mac16,5</string><key>kern_osversion</key><string>25C56</string>\
          <key>kern_boottime</key><integer>1768975932</integer>\
          <key>timestamp</key><date>2026-01-22T21:07:07Z</date><key>thermal_pressure</key><string>Heavy</string>",
    );
    let decoded = decode(&document, &OwnPids::default()).unwrap();
    assert_eq!(decoded.info.hw_model, Some(Name::new("Mac16,5")));
    assert_eq!(decoded.info.os_build, Some(Name::new("25C56")));
    assert_eq!(decoded.info.boot_time_s, Some(1_768_975_932));
    assert_eq!(decoded.timestamp_s, Some(1_769_116_027));
    assert_eq!(decoded.reading.metrics.thermal_pressure, Some(ThermalPressure::Heavy));

    let vague = wrapped(b"<key>hw_model</key><string></string><key>timestamp</key><date>last week</date>");
    let decoded = decode(&vague, &OwnPids::default()).unwrap();
    assert_eq!((decoded.info, decoded.timestamp_s), (SourceInfo::default(), None));
}

#[test]
fn a_broken_structure_is_malformed() {
    for entries in [
        "</dict>",
        "<key>a</key>",
        "<key>a</key><key>b</key><true/>",
        "<true/>",
        "<key>a</key><dict>",
        "<key>a</key><string>b",
        "<key>a</key><string>b</strin>",
        "<key>a</string><true/>",
        "<key>disk</key><dict><key>rbytes_per_s</key><real>1</dict>",
        "<key>tasks</key><array><dict></array>",
        "<key>gpu</key><array><dict/></dict>",
        "<!-- ",
        "<key>a</key><dict><!-- </dict>",
        "<",
    ] {
        let result = decode(&wrapped(entries.as_bytes()), &OwnPids::default());
        assert_eq!(result.err(), Some(Reject::Malformed), "{entries}");
    }
    for document in
        ["", "<plist>", "<plist><dict>", "<dict></dict>", "<plist><array></array></plist>", "<plist/>"]
    {
        assert_eq!(decode(document.as_bytes(), &OwnPids::default()), Err(Reject::Malformed), "{document}");
    }
}

#[test]
fn every_beginning_of_a_document_is_rejected_without_a_panic() {
    let document = wrapped(
        format!(
            "{}<key>gpu</key><array><dict/></array><key>x</key><dict><!-- --></dict>",
            tasks(&[row(1, "&amp;", "2")])
        )
        .as_bytes(),
    );
    let end = document.len() - "\n".len();
    for length in 0..end {
        assert!(decode(&document[..length], &OwnPids::default()).is_err(), "{length}");
    }
    assert!(decode(&document[..end], &OwnPids::default()).is_ok());
}
