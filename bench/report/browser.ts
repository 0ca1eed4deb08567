/**
 * Looks at a page in headless Chromium, where there is one: saves pictures of it, and tells what is wrong with it.
 *
 * Speaks the DevTools protocol over a pipe (--remote-debugging-pipe): JSON messages with a zero byte behind each.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { pathToFileURL } from 'node:url'

/** What was seen. */
export interface Look {
  /** Paths of the pictures. */
  readonly pictures: readonly string[]
  /** What the console said, what the page asked the network for, what does not fit: none on a sound page. */
  readonly faults: readonly string[]
}

/** A screen to look at a page on. */
export interface Screen {
  readonly name: string
  readonly width: number
  readonly scheme: 'light' | 'dark'
}

/** From a wide one by day to a phone by night. */
export const SCREENS: readonly Screen[] = [
  { name: 'light', width: 1280, scheme: 'light' },
  { name: 'dark', width: 1280, scheme: 'dark' },
  { name: 'phone-light', width: 390, scheme: 'light' },
  { name: 'phone-dark', width: 390, scheme: 'dark' },
]
const NAMES: readonly string[] = ['chromium', 'chromium-browser', 'google-chrome']
const SCREEN_HEIGHT = 900
/** Browsers cannot take a picture of more. */
const PICTURE_HEIGHT_MAX = 16_000
const PATIENCE_MS = 60_000

/** The name of a Chromium that is installed here; undefined when there is none. */
export function findBrowser(): string | undefined {
  return NAMES.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0)
}

/** Opens the file `page` on each of the screens and saves pictures of the whole of it in `folder`. */
export async function lookAt(
  browser: string,
  page: string,
  folder: string,
  screens: readonly Screen[],
): Promise<Look> {
  await mkdir(folder, { recursive: true })
  const profile = await mkdtemp(join(tmpdir(), 'quorate-browser-'))
  const chromium = new Chromium(browser, profile)
  try {
    const tab = await chromium.openTab()
    const pictures: string[] = []
    for (const screen of screens) {
      const path = join(folder, `${screen.name}.png`)
      await writeFile(path, await lookOn(tab, page, screen))
      pictures.push(path)
    }
    return { pictures, faults: [...new Set(tab.faults)] }
  } finally {
    await chromium.close()
    await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** What the page is asked of itself: how large it is, and whether a coordinate is no number. */
const QUESTION = `JSON.stringify({
  wide: document.documentElement.scrollWidth,
  height: document.documentElement.scrollHeight,
  broken: /(?:NaN|Infinity|undefined)/.test([...document.querySelectorAll('svg *')].map((e) =>
    [...e.attributes].map((a) => a.value).join(' ')).join(' ')),
})`

async function lookOn(tab: Tab, page: string, { name, width, scheme }: Screen): Promise<Buffer> {
  const media = { features: [{ name: 'prefers-color-scheme', value: scheme }] }
  const isPhone = width < 600
  const size = { width, height: SCREEN_HEIGHT, deviceScaleFactor: 1, mobile: isPhone }
  await tab.send('Emulation.setEmulatedMedia', media)
  await tab.send('Emulation.setDeviceMetricsOverride', size)
  const loaded = tab.next('Page.loadEventFired')
  await tab.send('Page.navigate', { url: pathToFileURL(resolve(page)).href })
  await loaded
  const { result } = (await tab.send('Runtime.evaluate', { expression: QUESTION })) as {
    result: { value: string }
  }
  const answer = JSON.parse(result.value) as { wide: number; height: number; broken: boolean }
  if (answer.wide > width) tab.faults.push(`${name}: ${answer.wide} px wide, the screen ${width}`)
  if (answer.broken) tab.faults.push(`${name}: a picture has a coordinate that is no number`)
  const height = Math.min(PICTURE_HEIGHT_MAX, answer.height)
  const shot = (await tab.send('Page.captureScreenshot', {
    format: 'png',
    captureBeyondViewport: true,
    clip: { x: 0, y: 0, width, height, scale: 1 },
  })) as { data: string }
  return Buffer.from(shot.data, 'base64')
}

interface Message {
  readonly id?: number
  readonly method?: string
  readonly sessionId?: string
  readonly params?: Record<string, unknown>
  readonly result?: unknown
  readonly error?: { readonly message: string }
}

interface Pending {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** A running browser. Close it, or its process stays. */
class Chromium {
  readonly #process: ChildProcess
  readonly #pending = new Map<number, Pending>()
  readonly #ended: Promise<void>
  #calls = 0
  #onEvent: (message: Message) => void = () => {}

  constructor(browser: string, profile: string) {
    const flags = [
      '--headless --remote-debugging-pipe --disable-gpu --no-first-run --disable-sync',
      '--disable-background-networking --disable-component-update --hide-scrollbars',
      // Chromium's sandbox refuses to run as root; the page is one that this process wrote.
      process.getuid?.() === 0 ? '--no-sandbox' : '',
    ].flatMap((some) => some.split(' ').filter((flag) => flag !== ''))
    const stdio = ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] as const
    this.#process = spawn(browser, [...flags, `--user-data-dir=${profile}`], { stdio: [...stdio] })
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        for (const { reject } of this.#pending.values()) reject(new Error('the browser has ended'))
        this.#pending.clear()
        resolve()
      }
      this.#process.on('exit', end)
      this.#process.on('error', end)
    })
    this.#read(this.#process.stdio[4] as Readable)
  }

  async openTab(): Promise<Tab> {
    const { targetId } = (await this.send('Target.createTarget', { url: 'about:blank' })) as {
      targetId: string
    }
    const attach = { targetId, flatten: true }
    const { sessionId } = (await this.send('Target.attachToTarget', attach)) as {
      sessionId: string
    }
    const tab = new Tab((method, params) => this.send(method, params, sessionId))
    this.#onEvent = (message) => {
      if (message.sessionId === sessionId) tab.take(message)
    }
    for (const domain of ['Page', 'Runtime', 'Log', 'Network'])
      await tab.send(`${domain}.enable`, {})
    return tab
  }

  send(method: string, params: Record<string, unknown>, sessionId?: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#calls
      this.#pending.set(id, { resolve, reject })
      const message = { id, method, params, ...(sessionId !== undefined && { sessionId }) }
      const pipe = this.#process.stdio[3] as Writable
      pipe.write(`${JSON.stringify(message)}\0`)
    })
  }

  close(): Promise<void> {
    this.#process.kill('SIGKILL')
    return this.#ended
  }

  #read(pipe: Readable): void {
    let rest = ''
    pipe.setEncoding('utf8')
    pipe.on('data', (text: string) => {
      const whole = (rest + text).split('\0')
      rest = whole.pop()!
      for (const each of whole) this.#take(JSON.parse(each) as Message)
    })
  }

  #take(message: Message): void {
    if (message.id === undefined) {
      this.#onEvent(message)
      return
    }
    const pending = this.#pending.get(message.id)
    this.#pending.delete(message.id)
    if (message.error === undefined) pending?.resolve(message.result)
    else pending?.reject(new Error(message.error.message))
  }
}

/** A page in the browser, and what went wrong in it. */
class Tab {
  readonly faults: string[] = []
  readonly send: (method: string, params: Record<string, unknown>) => Promise<unknown>
  readonly #waiting = new Map<string, () => void>()

  constructor(send: Tab['send']) {
    this.send = send
  }

  /** Resolves at the next event of this name. */
  next(event: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no ${event} came`)), PATIENCE_MS)
      this.#waiting.set(event, () => {
        clearTimeout(late)
        resolve()
      })
    })
  }

  take({ method = '', params = {} }: Message): void {
    const fault = faultOf(method, params)
    if (fault !== undefined) this.faults.push(fault)
    this.#waiting.get(method)?.()
    this.#waiting.delete(method)
  }
}

function faultOf(method: string, params: Record<string, unknown>): string | undefined {
  switch (method) {
    case 'Runtime.exceptionThrown':
      return `an exception: ${JSON.stringify(params.exceptionDetails)}`
    case 'Runtime.consoleAPICalled':
      return `the console: ${JSON.stringify(params.args)}`
    case 'Log.entryAdded': {
      const { level, text } = params.entry as { level: string; text: string }
      return level === 'error' || level === 'warning' ? `the console: ${text}` : undefined
    }
    case 'Network.requestWillBeSent': {
      const { url } = params.request as { url: string }
      return /^(?:file|data|about):/.test(url) ? undefined : `asks the network for ${url}`
    }
    default:
      return undefined
  }
}
