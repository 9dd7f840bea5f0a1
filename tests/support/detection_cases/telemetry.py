"""What machines report about themselves: logs, metrics, traces, tracks and events of use."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

from support.detection_cases import Case, case
from support.detection_cases.words import at, dice, lines, table

_LABEL = "telemetry"


def cases() -> Iterator[Case]:
    yield from _logs()
    yield from _metrics()
    yield from _json()
    yield from _tables()
    yield from _near_misses()


def _logs() -> Iterator[Case]:
    r = dice("logs")
    logs = {
        "app.log": lambda n: f"{at(n)},123 {r.choice(('INFO', 'WARN', 'ERROR'))} [main] com.example.Job - step {n} done",
        "python.log": lambda n: f"{r.choice(('INFO', 'DEBUG'))}:{at(n)}:worker:took {n} ms",
        "syslog": lambda n: f"{at(n):%b %d %H:%M:%S} box1 sshd[{900 + n}]: Connection closed by 10.0.0.{n} port 22",
        "rfc5424.txt": lambda n: f"<165>1 {at(n).isoformat()}Z box1 evnt {n} ID47 - started",
        "access.log": lambda n: f'10.0.0.{n} - - [{at(n):%d/%b/%Y:%H:%M:%S} +0000] "GET /page/{n} HTTP/1.1" 200 {n * 31} "-" "curl/8"',
        "kern.log": lambda n: f"[{n * 1.7:12.6f}] usb 1-1: new high-speed device number {n}",
        "klog": lambda n: f"I0304 {at(n):%H:%M:%S}.000123 1 reconciler.go:224] operation {n} started",
        "logfmt.log": lambda n: f'ts={at(n).isoformat()} level=info msg="request done" status=200 dur={n}ms',
        "logcat.txt": lambda n: f"03-04 {at(n):%H:%M:%S}.120  1{n:03}  1200 I ActivityManager: Start proc {n}",
        "gps.nmea": lambda n: f"$GPGGA,{at(n):%H%M%S}.00,5250.5,N,00542.3,E,1,09,1.03,-6.0,M,45.8,M,,*7B",
        "candump.log": lambda n: f"(1709539200.{n:06}) can0 1{n:02X}#DEADBEEF00{n:02X}",
        "vpc.log": lambda n: f"2 123456789010 eni-1235b8ca {'10.0.0.1'} 10.0.0.{n} 443 {40000 + n} 6 20 4249 1709539200 1709539260 ACCEPT OK",
        "cef.log": lambda n: f"CEF:0|Sec|ids|1.0|100|worm stopped|10|src=10.0.0.{n} dst=2.1.2.2",
        "gc.log": lambda n: f"[{n * 0.5:.3f}s][info][gc] GC({n}) Pause Young 24M->4M(256M) 2.1ms",
    }  # fmt: skip
    for name, line in logs.items():
        yield case(f"telemetry/{name}", lines(line(n) for n in range(30)), _LABEL)
    iis = "#Software: Microsoft IIS\n#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status\n"
    yield case(
        "telemetry/u_ex.log", iis + lines(f"{at(n):%Y-%m-%d %H:%M:%S} 10.0.0.{n} GET /a 200" for n in range(20)), _LABEL
    )
    trace = lines(
        f'{at(n)} ERROR worker failed\nTraceback (most recent call last):\n  File "job.py", line 7, in run\nValueError: x'
        for n in range(8)
    )
    yield case("telemetry/crash.txt", trace, _LABEL)


def _metrics() -> Iterator[Case]:
    r = dice("metrics")
    prom = "# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n" + lines(
        f'http_requests_total{{code="{200 + n}"}} {n * 7}' for n in range(20)
    )
    yield case("telemetry/metrics.prom", prom, _LABEL)
    yield case(
        "telemetry/points.lp",
        lines(f"cpu,host=box{n % 3} usage={r.random():.3f},idle=9i 17095392000000{n:05}" for n in range(20)),
        _LABEL,
    )
    yield case("telemetry/statsd.txt", lines(f"app.hits.{n % 3}:{n}|c" for n in range(20)), _LABEL)
    yield case(
        "telemetry/graphite.txt",
        lines(f"servers.box{n % 3}.load {r.random():.2f} {1709539200 + n}" for n in range(20)),
        _LABEL,
    )
    annotated = (
        "#group,false,false,true\n#datatype,string,long,dateTime:RFC3339,double\n#default,_result,,,\n,result,table,_time,_value\n"
        + lines(f",,0,{at(n).isoformat()}Z,{r.random():.3f}" for n in range(20))
    )
    yield case("telemetry/flux.csv", annotated, _LABEL)
    fit = b"\x0e\x10\xd9\x07" + struct.pack("<I", 90) + b".FIT" + bytes(120)
    yield case("telemetry/ride.bin", fit, _LABEL)
    gpx = (
        '<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>'
        + "".join(
            f'<trkpt lat="{45 + n / 1000}" lon="7.1"><ele>{n}</ele><time>{at(n).isoformat()}Z</time></trkpt>'
            for n in range(20)
        )
        + "</trkseg></trk></gpx>"
    )
    yield case("telemetry/hike.gpx", gpx, _LABEL)


def _json() -> Iterator[Case]:
    r = dice("json")
    ids = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}
    otlp = {
        "resourceSpans": [
            {
                "resource": {"attributes": []},
                "scopeSpans": [{"spans": [{**ids, "name": "work", "startTimeUnixNano": "1"}]}],
            }
        ]
    }
    yield case("telemetry/trace.json", json.dumps(otlp), _LABEL)
    yield case(
        "telemetry/zipkin.json",
        json.dumps(
            [
                {
                    "traceId": "1",
                    "id": "2",
                    "kind": "SERVER",
                    "name": "get",
                    "timestamp": 1709539200000000,
                    "duration": 77,
                    "localEndpoint": {"serviceName": "web"},
                    "parentId": "1",
                }
            ]
        ),
        _LABEL,
    )
    yield case(
        "telemetry/bunyan.log",
        lines(
            {
                "name": "app",
                "hostname": "box",
                "pid": 7,
                "level": 30,
                "msg": f"step {n}",
                "time": at(n).isoformat(),
                "v": 0,
            }
            for n in range(12)
        ),
        _LABEL,
    )
    yield case(
        "telemetry/cloudtrail.json",
        json.dumps(
            {
                "Records": [
                    {
                        "eventVersion": "1.08",
                        "eventTime": at(n).isoformat(),
                        "eventSource": "s3.amazonaws.com",
                        "eventName": "GetObject",
                        "awsRegion": "us-east-1",
                        "sourceIPAddress": "10.0.0.1",
                        "userAgent": "cli",
                    }
                    for n in range(5)
                ]
            }
        ),
        _LABEL,
    )
    yield case(
        "telemetry/k8s.json",
        json.dumps(
            {
                "kind": "EventList",
                "items": [
                    {
                        "kind": "Event",
                        "involvedObject": {"kind": "Pod", "name": "x"},
                        "reason": "Pulled",
                        "message": "image",
                        "firstTimestamp": str(at(1)),
                        "count": 2,
                    }
                ],
            }
        ),
        _LABEL,
    )
    yield case(
        "telemetry/segment.jsonl",
        lines(
            {
                "type": "track",
                "event": "Button Clicked",
                "anonymousId": f"a{n}",
                "messageId": f"m{n}",
                "properties": {"plan": "x"},
                "context": {"library": {"name": "js"}, "ip": "10.0.0.1"},
                "timestamp": str(at(n)),
            }
            for n in range(12)
        ),
        _LABEL,
    )
    yield case(
        "telemetry/amplitude.json",
        json.dumps(
            {
                "event_type": "login",
                "device_id": "d1",
                "user_properties": {},
                "event_properties": {},
                "os_name": "ios",
                "app_version": "1.2",
                "session_id": 1709539200000,
            }
        ),
        _LABEL,
    )
    yield case(
        "telemetry/suricata.json",
        lines(
            {
                "timestamp": str(at(n)),
                "flow_id": n,
                "event_type": "dns",
                "src_ip": "10.0.0.1",
                "src_port": 53,
                "dest_ip": "10.0.0.2",
                "proto": "UDP",
            }
            for n in range(9)
        ),
        _LABEL,
    )
    yield case(
        "telemetry/thing.jsonl",
        lines(
            {
                "deviceId": f"d{n % 3}",
                "battery": r.randint(0, 100),
                "rssi": -r.randint(40, 90),
                "temperature": 20.5,
                "ts": 1709539200 + n,
            }
            for n in range(20)
        ),
        _LABEL,
    )
    yield case(
        "telemetry/winevent.xml",
        "<Events>"
        + "".join(
            f"<Event><System><Provider Name='Sec'/><EventID>4624</EventID><EventRecordID>{n}</EventRecordID><Computer>box</Computer><Channel>Security</Channel><TimeCreated SystemTime='{at(n).isoformat()}'/></System></Event>"
            for n in range(6)
        )
        + "</Events>",
        _LABEL,
    )


def _tables() -> Iterator[Case]:
    r = dice("tables")
    yield case(
        "telemetry/iot.csv",
        table(
            ["timestamp", "device_id", "temperature", "humidity"],
            [[at(n), f"dev-{n % 4}", round(r.uniform(18, 25), 2), round(r.uniform(30, 60), 1)] for n in range(60)],
        ),
        _LABEL,
    )
    yield case(
        "telemetry/servers.csv",
        table(
            ["time", "cpu_usage", "memory_mb", "disk_io"],
            [[at(n), r.random(), r.randint(100, 900), r.randint(1, 99)] for n in range(60)],
        ),
        _LABEL,
    )
    yield case(
        "telemetry/calls.csv",
        table(
            ["account_id", "packet_loss_pct", "jitter_ms", "rtt_ms", "bitrate_kbps"],
            [["a", r.random(), r.random() * 30, r.random() * 90, r.randint(300, 2500)] for _ in range(60)],
        ),
        _LABEL,
    )
    yield case(
        "telemetry/imu.csv",
        table(
            ["t", "acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z"],
            [[n * 0.01, *(round(r.gauss(0, 1), 4) for _ in range(6))] for n in range(60)],
        ),
        _LABEL,
    )
    yield case(
        "telemetry/obd.csv",
        table(
            ["Time", "ENGINE_RPM", "VEHICLE_SPEED", "THROTTLE_POS", "COOLANT_TEMP"],
            [[n, r.randint(700, 4000), r.randint(0, 130), r.randint(0, 100), r.randint(60, 95)] for n in range(60)],
        ),
        _LABEL,
    )
    yield case(
        "telemetry/taxi-track.csv",
        table(
            ["vehicle_id", "timestamp", "lat", "lon", "speed"],
            [[7, at(n), 45.1 + n / 900, 7.2, r.randint(0, 60)] for n in range(60)],
        ),
        _LABEL,
    )
    yield case(
        "telemetry/clicks.csv",
        table(
            ["user_id", "session_id", "event_name", "timestamp", "page"],
            [[n % 7, f"s{n % 9}", r.choice(("view", "click", "scroll")), at(n), "/home"] for n in range(60)],
        ),
        _LABEL,
    )
    yield case(
        "telemetry/turbofan.txt",
        "".join(
            " ".join(f"{value:.4f}" for value in (1, n, *(r.gauss(500, 1) for _ in range(12)))) + "\n"
            for n in range(40)
        ),
        _LABEL,
        "none;unclassified",
    )
    yield case(
        "telemetry/maschinen.csv",
        table(
            ["Zeitstempel", "Maschine", "Drehzahl", "Spannung"],
            [
                [
                    f"{at(n):%d.%m.%Y %H:%M}",
                    f"M{n % 3}",
                    r.randint(900, 1500),
                    f"{r.uniform(220, 240):.1f}".replace(".", ","),
                ]
                for n in range(60)
            ],
            ";",
        ),
        _LABEL,
    )
    yield case(
        "telemetry/sensores.csv",
        table(
            ["fecha", "dispositivo", "temperatura", "humedad"], [[at(n), f"d{n % 3}", 20.5, 40.1] for n in range(60)]
        ),
        _LABEL,
    )
    yield case(
        "telemetry/capteurs.csv",
        table(["horodatage", "capteur", "température"], [[at(n), f"c{n % 3}", 20.5] for n in range(60)], ";"),
        _LABEL,
    )
    yield case(
        "telemetry/kiki.csv",
        table(["時刻", "デバイス", "電圧", "温度"], [[at(n), f"d{n % 3}", 3.3, 21.5] for n in range(60)]),
        _LABEL,
    )
    yield case(
        "telemetry/shebei.csv",
        table(["时间", "设备", "电压", "温度"], [[at(n), f"d{n % 3}", 3.3, 21.5] for n in range(60)]),
        _LABEL,
    )


def _near_misses() -> Iterator[Case]:
    r = dice("near")
    yield case(
        "none/weather.csv",
        table(
            ["date", "precipitation", "temp_max", "temp_min", "wind"],
            [[at(n, 86400).date(), r.random(), r.uniform(5, 30), r.uniform(-5, 10), r.random()] for n in range(60)],
        ),
        "none",
    )
    yield case(
        "none/prices.csv",
        table(
            ["date", "open", "high", "low", "close", "volume"],
            [
                [at(n, 86400).date(), *(round(r.uniform(90, 110), 2) for _ in range(4)), r.randint(1000, 9000)]
                for n in range(60)
            ],
        ),
        "none",
    )
    yield case(
        "none/quakes.csv",
        table(
            ["time", "latitude", "longitude", "depth", "mag", "place"],
            [
                [at(n).isoformat(), r.uniform(-60, 60), r.uniform(-170, 170), r.uniform(1, 90), r.uniform(2, 7), "sea"]
                for n in range(60)
            ],
        ),
        "none",
        "telemetry",
    )
    yield case(
        "none/matches.csv",
        table(
            ["season", "home", "away", "home goals", "away goals"],
            [[2020, "Reds", "Blues", r.randint(0, 5), r.randint(0, 5)] for _ in range(60)],
        ),
        "none",
    )
    yield case(
        "none/population.json",
        json.dumps([{"country": f"C{n}", "year": 1950 + n, "population": n * 10000} for n in range(40)]),
        "none",
    )
    yield case(
        "none/passengers.csv",
        table(["Month", "Passengers"], [[f"19{50 + n // 12}-{n % 12 + 1:02}", r.randint(100, 600)] for n in range(80)]),
        "none",
    )
