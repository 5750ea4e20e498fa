// Served at /console/ by skerry-fleet; `npm run build -- --outDir DIR` says where the files go.
export default {
  base: "/console/",
  build: { emptyOutDir: true, target: "es2022", modulePreload: { polyfill: false } },
};
