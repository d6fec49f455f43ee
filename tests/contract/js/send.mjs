// Sends step spans with the standard JavaScript SDK and OTLP/HTTP JSON exporter; prints the id of each, one a line.
// node send.mjs URL none|gzip SPANS. Any export that fails makes it exit with 1.

import { trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

const [url, compression, spans] = process.argv.slice(2);
const exporter = new OTLPTraceExporter({ url, compression });
const failures = [];
const watched = {
  export: (batch, done) =>
    exporter.export(batch, (result) => {
      if (result.error || result.code !== 0) failures.push(result.error ?? result.code);
      done(result);
    }),
  forceFlush: () => exporter.forceFlush(),
  shutdown: () => exporter.shutdown(),
};
const provider = new TracerProvider({
  spanProcessors: [new BatchSpanProcessor({ exporter: watched, maxQueueSize: 4096, maxExportBatchSize: 128 })],
});
trace.setGlobalTracerProvider(provider);
const tracer = trace.getTracer("contract");

for (let number = 0; number < Number(spans); number += 1) {
  const span = tracer.startSpan("pay", {
    attributes: {
      "otelcx.journey.name": "checkout",
      "otelcx.journey.step": "payment",
      "otelcx.journey.attempt": `attempt-${number}`,
      "cart.items": number,
      "cart.total": number + 0.5,
      "cart.gift": number % 2 === 0,
      "cart.names": ["zażółć", "日本", "\u0000"],
    },
  });
  span.end();
  process.stdout.write(`${span.spanContext().spanId}\n`);
}
await provider.forceFlush();
await provider.shutdown();
for (const failure of failures) console.error(failure);
process.exitCode = failures.length === 0 ? 0 : 1;
