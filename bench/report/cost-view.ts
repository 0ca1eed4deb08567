/** What an operation costs, as a table: the counts are exact, there is nothing to draw. */
import { type Row, show } from '../results.js'
import { asText } from './as-text.js'
import { groupsOf } from './rows.js'

const COSTS = ['round trips', 'messages', 'fsyncs', 'bytes'] as const

/** One table for each number of members: operations down, callers across. */
export function drawCosts(rows: readonly Row[]): string {
  return groupsOf(rows, ['members'])
    .map(([members, some]) => {
      const callers = groupsOf(some, ['caller']).map(([caller]) => caller)
      const heads = callers.map((caller) => `<th colspan="4">by the ${asText(caller)}</th>`)
      const body = groupsOf(some, ['operation']).map(([operation, each]) => {
        const cells = callers.flatMap((caller) => {
          const row = each.find(({ labels }) => labels.caller === caller)
          return COSTS.map((cost) => `<td class="number">${show(row?.figures[cost])}</td>`)
        })
        return `<tr><td>${asText(operation)}</td>${cells.join('')}</tr>`
      })
      const names = callers.flatMap(() => COSTS.map((cost) => `<th class="number">${cost}</th>`))
      return (
        `<h3>${asText(members)} members</h3><div class="wide" tabindex="0"><table><thead>` +
        `<tr><th></th>${heads.join('')}</tr><tr><th>operation</th>${names.join('')}</tr></thead>` +
        `<tbody>${body.join('')}</tbody></table></div>`
      )
    })
    .join('')
}
