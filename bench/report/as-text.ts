/** Text from result files in a page: they come from anywhere, and must stay text. */

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** `text` for HTML and SVG, between tags and in quoted attributes. */
export function asText(text: string): string {
  return text.replace(/[&<>"']/g, (found) => ENTITIES[found]!)
}
