// The Vercel AI SDK: text, a stream, a tool and an object, over chat completions.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const provider = createOpenAICompatible({
  name: "rwkv",
  baseURL: process.argv[2],
  apiKey: "none",
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider("gosling");
const ask = { model, temperature: 0, maxRetries: 0 };
const whole = await generateText({ ...ask, prompt: "What is 17 + 25?" });
const stream = streamText({ ...ask, prompt: "What is 17 + 25?" });
let streamed = "";
for await (const text of stream.textStream) streamed += text;
const cities = [];
const called = await generateText({
  ...ask,
  prompt: "What is the weather in Lisbon?",
  stopWhen: stepCountIs(2),
  tools: {
    get_weather: tool({
      description: "Get the weather in a city",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => {
        cities.push(city);
        return { weather: "sunny" };
      },
    }),
  },
});
const made = await generateText({
  ...ask,
  prompt: "Mira is 31 years old. Answer as JSON with the keys name and age.",
  output: Output.object({ schema: z.object({ name: z.string(), age: z.number() }) }),
});
console.log(
  JSON.stringify({
    whole: whole.text,
    finishReason: whole.finishReason,
    streamed,
    total: (await stream.usage).totalTokens,
    cities,
    told: called.text,
    object: made.output,
  }),
);
