// Bundles the pages' scripts and styles; the names carry a digest of the content, so browsers may keep them for ever.
import { readFileSync } from "node:fs";
import { defineConfig } from "vite";

const BUNDLED = ["cytoscape", "elkjs"];

/** Puts the licences of what is bundled beside it, as they ask. */
function licences() {
  const text = BUNDLED.map((name) => {
    const read = (file) => readFileSync(new URL(`node_modules/${name}/${file}`, import.meta.url), "utf-8");
    const { version, license } = JSON.parse(read("package.json"));
    return `${name} ${version} (${license}), unchanged\n\n${read(name === "elkjs" ? "LICENSE.md" : "LICENSE")}`;
  });
  return {
    name: "licences",
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "licences.txt", source: text.join("\n\n") });
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [licences()],
  build: {
    outDir: "../static",
    emptyOutDir: true,
    manifest: "manifest.json",
    modulePreload: false,
    assetsInlineLimit: 0, // the content security policy admits no data: scripts or styles
    rollupOptions: {
      input: { theme: "src/theme.ts", page: "src/page.ts", badge: "src/badge.ts", lineage: "src/lineage.ts" },
    },
  },
});
